package history

import (
	"encoding/json"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/canald/canald/internal/position"
)

// Shared keeps records where the next server that runs the destination finds
// them. Its methods return within seconds.
type Shared interface {
	// Put keeps a record, in the place of an earlier one with the key.
	Put(key string, raw []byte) error
	// All are the records that are kept.
	All() ([][]byte, error)
}

// Share makes every record from now on known to others, too, before it counts as kept.
func (h *History) Share(s Shared) { h.shared = s }

// share gives a record away.
func (h *History) share(r Record) error {
	if h.shared == nil {
		return nil
	}
	r.Source = h.source
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return h.shared.Put(fmt.Sprintf("%s:%012d:%06d", r.At.File, r.At.Offset, r.Sub), raw)
}

// Adopt takes structures that were read from the source as it is now back to a
// place, by what the server before this one recorded of the statements behind it.
// It returns how many those are. What is damaged or of another source is passed over.
func (h *History) Adopt(from position.Position) (int, error) {
	if h.shared == nil {
		return 0, nil
	}
	all, err := h.shared.All()
	if err != nil {
		return 0, fmt.Errorf("structure history: %w", err)
	}
	var records []Record
	for _, raw := range all {
		var r Record
		if json.Unmarshal(raw, &r) == nil && r.Source == h.source && behind(&r, from, false) {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b Record) int {
		if c := position.Compare(a.At, b.At); c != 0 {
			return c
		}
		return int(a.Sub) - int(b.Sub)
	})
	var back []Change
	for _, r := range slices.Backward(records) {
		for _, c := range slices.Backward(r.Changes) {
			back = append(back, Change{Name: c.Name, After: c.Before})
		}
	}
	if len(back) == 0 {
		return 0, nil
	}
	if err := h.update(func(tx *bolt.Tx) error { return h.put(tx, back) }); err != nil {
		return 0, err
	}
	h.apply(back)
	return len(records), nil
}
