package server

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// Keys of log fields.
const (
	keyRemote     = "remote"
	keyReason     = "reason"
	keySuppressed = "suppressed"
)

// A storm of bad connections is one thing to know, not a thousand lines.
const (
	refusalLines  = 5
	refusalWindow = 10 * time.Second
)

// refusals logs connections that were ended for what they did, a few lines
// per reason and window. Reasons are constants of this package, so their
// number is bounded.
type refusals struct {
	log *zap.Logger
	mu  struct {
		sync.Mutex
		reasons map[string]*refusal
	}
}

type refusal struct {
	begin      time.Time
	lines      int
	suppressed int
}

func newRefusals(log *zap.Logger) *refusals {
	r := &refusals{log: log}
	r.mu.reasons = make(map[string]*refusal)
	return r
}

func (r *refusals) add(reason, remote string, err error) {
	now := time.Now()
	r.mu.Lock()
	f := r.mu.reasons[reason]
	if f == nil {
		f = &refusal{begin: now}
		r.mu.reasons[reason] = f
	}
	suppressed := 0
	if now.Sub(f.begin) >= refusalWindow {
		suppressed = f.suppressed
		*f = refusal{begin: now}
	}
	write := f.lines < refusalLines
	if write {
		f.lines++
	} else {
		f.suppressed++
	}
	r.mu.Unlock()
	if !write {
		return
	}
	fields := []zap.Field{zap.String(keyReason, reason), zap.String(keyRemote, remote)}
	if err != nil {
		fields = append(fields, zap.Error(err))
	}
	if suppressed > 0 {
		fields = append(fields, zap.Int(keySuppressed, suppressed))
	}
	r.log.Warn("client connection refused", fields...)
}
