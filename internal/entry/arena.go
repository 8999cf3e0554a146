package entry

import (
	"sync"
	"sync/atomic"
)

// Arena sizes. The first arena of a quiet instance is small; each further one
// is twice as large, up to what keeps a busy instance from pinning much more
// memory than its store counts.
const (
	arenaMinBytes = 16 << 10
	arenaMaxBytes = 512 << 10
	poolMaxArenas = 8
)

// arena is one buffer that several segments share. buf has its final length
// from the start and is never reallocated, so that holders need no lock.
type arena struct {
	buf  []byte
	refs atomic.Int32 // segments, and 1 while a worker writes to it
	pool *Pool
}

func (a *arena) release() {
	switch left := a.refs.Add(-1); {
	case left == 0:
		a.pool.put(a)
	case left < 0:
		panic("entry: arena released more often than retained")
	}
}

// Pool recycles the buffers of an instance's segments and counts them. It may
// be used by several goroutines.
type Pool struct {
	bytes atomic.Int64
	mu    struct {
		sync.Mutex
		free []*arena
	}
}

// Bytes is the memory that segments hold now, free buffers included.
func (p *Pool) Bytes() int64 { return p.bytes.Load() }

func (p *Pool) get(size int) *arena {
	if size == arenaMaxBytes {
		p.mu.Lock()
		if n := len(p.mu.free); n > 0 {
			a := p.mu.free[n-1]
			p.mu.free = p.mu.free[:n-1]
			p.mu.Unlock()
			a.refs.Store(1)
			return a
		}
		p.mu.Unlock()
	}
	p.bytes.Add(int64(size))
	a := &arena{buf: make([]byte, size), pool: p}
	a.refs.Store(1)
	return a
}

// own makes an arena of a buffer that one outgrown segment fills alone.
func (p *Pool) own(buf []byte) *arena {
	p.bytes.Add(int64(len(buf)))
	a := &arena{buf: buf, pool: p}
	a.refs.Store(1)
	return a
}

func (p *Pool) put(a *arena) {
	if len(a.buf) == arenaMaxBytes {
		p.mu.Lock()
		if len(p.mu.free) < poolMaxArenas {
			p.mu.free = append(p.mu.free, a)
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
	p.bytes.Add(-int64(len(a.buf)))
}
