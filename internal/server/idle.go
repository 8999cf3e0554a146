package server

import (
	"sync"
	"time"
)

// idle closes a connection on which nothing was received, or nothing written,
// for too long. Both clocks stand still while a request is served: a get may
// wait longer than either timeout. Its timer is set again only when it fires,
// so that a request costs no more than two readings of the clock.
type idle struct {
	expire func(reason string)
	mu     struct {
		sync.Mutex
		read, write          time.Duration
		lastRead, lastWrite  time.Time
		since                time.Time // when serving began
		serving, on, stopped bool
		timer                *time.Timer
	}
}

const (
	reasonReadIdle  = "read idle"
	reasonWriteIdle = "write idle"
)

func newIdle(expire func(reason string)) *idle { return &idle{expire: expire} }

// start begins to watch with the timeouts the client asked for.
func (i *idle) start(read, write time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.mu.stopped || i.mu.on {
		return
	}
	now := time.Now()
	i.mu.on, i.mu.read, i.mu.write = true, read, write
	i.mu.lastRead, i.mu.lastWrite = now, now
	i.mu.timer = time.AfterFunc(min(read, write), i.fire)
}

func (i *idle) fire() {
	i.mu.Lock()
	reason := ""
	switch now := time.Now(); {
	case i.mu.stopped:
	case i.mu.serving:
		i.mu.timer.Reset(min(i.mu.read, i.mu.write))
	default:
		read := i.mu.read - now.Sub(i.mu.lastRead)
		write := i.mu.write - now.Sub(i.mu.lastWrite)
		switch {
		case read <= 0:
			reason = reasonReadIdle
		case write <= 0:
			reason = reasonWriteIdle
		default:
			i.mu.timer.Reset(min(read, write))
		}
	}
	i.mu.Unlock()
	if reason != "" {
		i.expire(reason)
	}
}

// received notes a complete frame; its request is being served from now on.
func (i *idle) received() {
	now := time.Now()
	i.mu.Lock()
	i.mu.serving, i.mu.since = true, now
	i.mu.Unlock()
}

// served notes the end of a request and whether something was written.
func (i *idle) served(wrote bool) {
	now := time.Now()
	i.mu.Lock()
	i.mu.serving = false
	i.mu.lastRead = now
	if wrote {
		i.mu.lastWrite = now
	} else {
		i.mu.lastWrite = i.mu.lastWrite.Add(now.Sub(i.mu.since))
	}
	i.mu.Unlock()
}

func (i *idle) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.stopped = true
	if i.mu.timer != nil {
		i.mu.timer.Stop()
	}
}
