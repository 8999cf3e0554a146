package store

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrClosed is returned by a call on a store whose instance has stopped; a get
// that was waiting returns it at once.
var ErrClosed = errors.New("store closed")

// ErrUnknownBatch is returned by Ack and Rollback for a batch id that is not outstanding.
var ErrUnknownBatch = errors.New("batch does not exist")

// NotFirstError is returned by Ack and Rollback for a batch that is outstanding
// but not the oldest one of its client.
type NotFirstError struct {
	ID    int64 // the id that was asked for
	First int64 // the oldest outstanding id
}

func (e *NotFirstError) Error() string {
	return fmt.Sprintf("batchId:%d is not the firstly:%d", e.ID, e.First)
}

// NoBatch is the id of an empty batch, as Canal's clients know it.
const NoBatch int64 = -1

// Batch is what one get hands out. Its bytes are the store's own, not copies:
// they are valid until Release and must not be changed.
type Batch struct {
	ID    int64    // NoBatch when there was nothing to hand out, else > 0
	Runs  [][]byte // Messages.messages items (tag, length, Entry), in order; one writev sends them
	Bytes int64    // sum of the lengths of Runs
	Items int      // entries in Runs

	released atomic.Bool
	release  func()
}

// NewBatch makes a batch; release is called once, by the first Release, and may be nil.
func NewBatch(id int64, runs [][]byte, items int, release func()) *Batch {
	b := &Batch{ID: id, Runs: runs, Items: items, release: release}
	for _, r := range runs {
		b.Bytes += int64(len(r))
	}
	return b
}

// Release gives the bytes back to the store. It may be called more than once
// and on a nil batch; it says nothing about whether the client acknowledged.
func (b *Batch) Release() {
	if b != nil && b.release != nil && b.released.CompareAndSwap(false, true) {
		b.release()
	}
}
