package server

import "sync"

// How far a reader may be ahead of the executor once a client is
// authenticated. The last frame may go beyond the bytes.
const (
	aheadFrames = 64
	aheadBytes  = 16 << 10
)

// frame is one frame's body and what it holds of a budget.
type frame struct {
	body     []byte
	budget   *budget
	reserved int64
}

func (f *frame) release() {
	if f.reserved > 0 {
		f.budget.give(f.reserved)
		f.reserved = 0
	}
	f.body = nil
}

// inbox hands frames from a connection's reader to its executor, in order.
// While the client is not authenticated the reader is not ahead at all: what
// may be read next depends on the frame being executed.
type inbox struct {
	mu     sync.Mutex
	cond   sync.Cond
	queue  []frame
	bytes  int
	busy   bool // the executor has a frame in hand
	ahead  bool // reading ahead is allowed
	ended  bool // no frame will follow
	closed bool // no frame will be taken
}

func newInbox() *inbox {
	b := &inbox{}
	b.cond.L = &b.mu
	return b
}

// room waits until another frame may be read; false when none is wanted any more.
func (b *inbox) room() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed {
		if b.ahead && len(b.queue) < aheadFrames && b.bytes < aheadBytes || len(b.queue) == 0 && !b.busy {
			return true
		}
		b.cond.Wait()
	}
	return false
}

// put appends a frame; the inbox owns it from here.
func (b *inbox) put(f frame) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		f.release()
		return
	}
	b.queue = append(b.queue, f)
	b.bytes += len(f.body)
	b.cond.Broadcast()
}

// end says that no frame will follow.
func (b *inbox) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.cond.Broadcast()
}

// take waits for the next frame; false after the last one.
func (b *inbox) take() (frame, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = false
	b.cond.Broadcast()
	for len(b.queue) == 0 {
		if b.ended {
			return frame{}, false
		}
		b.cond.Wait()
	}
	f := b.queue[0]
	b.queue[0] = frame{}
	b.queue = b.queue[1:]
	if len(b.queue) == 0 {
		b.queue = nil
	}
	b.bytes -= len(f.body)
	b.busy = true
	return f, true
}

// allowAhead lets the reader read on while a frame is executed.
func (b *inbox) allowAhead() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ahead = true
	b.cond.Broadcast()
}

// close drops what was not taken and wakes the reader.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for i := range b.queue {
		b.queue[i].release()
	}
	b.queue = nil
	b.cond.Broadcast()
}
