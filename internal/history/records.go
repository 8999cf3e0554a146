package history

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
)

// Record keeps what a statement changed; it is on disk when it returns. What
// changes nothing is not kept.
func (h *History) Record(r Record) error {
	if len(r.Changes) == 0 {
		return nil
	}
	r.Statement = Shorten([]byte(r.Statement))
	for i := range r.Changes {
		r.Changes[i].Before = h.state(r.Changes[i].Name)
		if k := r.Changes[i].After; k != nil {
			k.Since = r.At
		}
	}
	if err := h.share(r); err != nil {
		return fmt.Errorf("share a change of structures: %w", err)
	}
	dropped := 0
	err := h.update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketRecords)
		if err != nil {
			return err
		}
		raw, err := json.Marshal(r)
		if err != nil {
			return err
		}
		n, err := b.NextSequence()
		if err != nil {
			return err
		}
		if err := b.Put(binary.BigEndian.AppendUint64(nil, n), raw); err != nil {
			return err
		}
		if dropped, err = h.compact(b, r.At.Timestamp); err != nil {
			return err
		}
		return h.put(tx, r.Changes)
	})
	if err != nil {
		return err
	}
	h.size += 1 - dropped
	h.apply(r.Changes)
	return nil
}

// compactStep is how many records beyond the bound are let come together.
const compactStep = 100

// compact drops the oldest records.
func (h *History) compact(b *bolt.Bucket, now int64) (dropped int, err error) {
	if h.size%compactStep != 0 {
		return 0, nil
	}
	over := h.size - h.keep.Records
	oldest := now - h.keep.For.Milliseconds()
	c := b.Cursor()
	for k, raw := c.First(); k != nil; k, raw = c.First() {
		var r Record
		if err := json.Unmarshal(raw, &r); err != nil {
			return dropped, fmt.Errorf("damaged statement: %w", err)
		}
		if dropped >= over && (r.At.Timestamp == 0 || r.At.Timestamp >= oldest) {
			break
		}
		if err := c.Delete(); err != nil {
			return dropped, err
		}
		dropped++
	}
	return dropped, nil
}

// Rewound says what Begin did.
type Rewound struct {
	Statements int  // that lie behind the start and were taken back
	Gap        bool // statements before the start were never seen: all was forgotten
	Moved      bool // the source is another one than before
}

// slack is how far the clocks of two sources, or of a source and its replica's
// binlog, are thought to differ.
const slack = time.Hour

// Begin prepares for a dump that starts at the given place of a source, which is
// known by an id of its own. It reads the file anew, so what somebody else did to
// it counts from here on.
func (h *History) Begin(source string, from position.Position) (Rewound, error) {
	var w Rewound
	h.source = source
	if h.held == nil {
		if err := h.load(); err != nil {
			return w, fmt.Errorf("structure history: %w", err)
		}
	}
	err := h.update(func(tx *bolt.Tx) error {
		state, err := tx.CreateBucketIfNotExists(bucketState)
		if err != nil {
			return err
		}
		before := string(state.Get(keySource))
		w.Moved = before != "" && before != source
		if err := state.Put(keySource, []byte(source)); err != nil {
			return err
		}
		h.seen = string(state.Get(keySeen))
		if !w.Moved && h.seen != "" && position.CompareFiles(from.File, h.seen) > 0 {
			w.Gap = true
			return h.reset(tx)
		}
		if w.Moved {
			h.seen, h.whole = "", ""
			if err := errors.Join(state.Delete(keySeen), state.Delete(keyWhole)); err != nil {
				return err
			}
		}
		return h.rewind(tx, &w, from)
	})
	if err != nil {
		return w, err
	}
	if w.Moved && from.GTID != "" {
		return w, nil // its file is the other source's
	}
	return w, h.See(from.File)
}

// rewind takes back what the statements behind the start changed, the last first.
func (h *History) rewind(tx *bolt.Tx, w *Rewound, from position.Position) error {
	b := tx.Bucket(bucketRecords)
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for k, raw := c.Last(); k != nil; k, raw = c.Last() {
		var r Record
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("damaged statement: %w", err)
		}
		if !behind(&r, from, w.Moved) {
			break
		}
		back := make([]Change, 0, len(r.Changes))
		for _, c := range slices.Backward(r.Changes) {
			back = append(back, Change{Name: c.Name, After: c.Before})
		}
		if err := h.put(tx, back); err != nil {
			return err
		}
		h.apply(back)
		if err := c.Delete(); err != nil {
			return err
		}
		h.size--
		w.Statements++
	}
	return nil
}

// behind tells whether a statement lies at the start or behind it. Sets of
// transactions tell it where both places have one. Files of two sources cannot be
// compared, nor those before a RESET MASTER with those after it: then the times decide.
func behind(r *Record, from position.Position, moved bool) bool {
	if had, known := position.Had(from, r.At); known {
		return !had
	}
	timed := from.Timestamp > 0 && r.At.Timestamp > 0
	if moved {
		return timed && r.At.Timestamp >= from.Timestamp
	}
	if timed && r.At.Timestamp < from.Timestamp-slack.Milliseconds() {
		return false
	}
	return position.Compare(r.At, from) >= 0
}

// Reset forgets everything.
func (h *History) Reset() error {
	return h.update(h.reset)
}

func (h *History) reset(tx *bolt.Tx) error {
	for _, name := range [][]byte{bucketTables, bucketRecords} {
		if err := tx.DeleteBucket(name); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
	}
	clear(h.tables)
	h.size, h.seen, h.whole = 0, "", ""
	if state := tx.Bucket(bucketState); state != nil {
		return errors.Join(state.Delete(keySeen), state.Delete(keyWhole))
	}
	return nil
}

// See notes that a binlog file was begun, before anything of it is handed on: a
// later start in a file beyond it has missed something.
func (h *History) See(file string) error {
	if file == "" || file == h.seen || h.seen != "" && position.CompareFiles(file, h.seen) < 0 {
		return nil
	}
	if err := h.putState(keySeen, file); err != nil {
		return err
	}
	h.seen = file
	return nil
}

// Records calls do for each kept statement, the newest first, until it returns false.
func (h *History) Records(do func(Record) bool) error {
	err := h.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketRecords)
		if b == nil {
			return nil
		}
		c := b.Cursor()
		for k, raw := c.Last(); k != nil; k, raw = c.Prev() {
			var r Record
			if err := json.Unmarshal(raw, &r); err != nil {
				return fmt.Errorf("damaged statement: %w", err)
			}
			if !do(r) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("structure history: %w", err)
	}
	return nil
}

// At returns the structure of a table that held before the first statement for
// which after is true, and that statement; nil when all kept ones came before.
func (h *History) At(n schema.Name, after func(position.Position) bool) (known *Known, next *Record, err error) {
	n = h.name(n)
	known = h.Get(n)
	err = h.Records(func(r Record) bool {
		if !after(r.At) {
			return false
		}
		for _, c := range slices.Backward(r.Changes) {
			if h.name(c.Name) == n {
				known, next = c.Before, &r
			}
		}
		return true
	})
	return known, next, err
}

// Last is the newest statement that touched a table; ok is false when none is kept.
func (h *History) Last(n schema.Name) (last Record, ok bool, err error) {
	n = h.name(n)
	err = h.Records(func(r Record) bool {
		for _, c := range r.Changes {
			if h.name(c.Name) == n {
				last, ok = r, true
				return false
			}
		}
		return true
	})
	return last, ok, err
}
