package history

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
)

// Setting is a structure that somebody gave by hand: the table has it from a
// place on, until the next statement changes it.
type Setting struct {
	At    position.Position
	Table *schema.Table
}

// Set keeps a setting, in the place of an earlier one for the table. The reader
// finds it at its next Begin.
func (h *History) Set(s Setting) error {
	n := h.name(schema.Name{Schema: s.Table.Schema, Table: s.Table.Name})
	raw, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("structure history: %w", err)
	}
	err = h.update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketSet)
		if err != nil {
			return err
		}
		return b.Put(tableKey(n), raw)
	})
	if err != nil {
		return err
	}
	if h.set == nil {
		h.set = map[schema.Name]Setting{}
	}
	h.set[n] = s
	return nil
}

func (h *History) loadSettings(tx *bolt.Tx) error {
	h.set = map[schema.Name]Setting{}
	b := tx.Bucket(bucketSet)
	if b == nil {
		return nil
	}
	return b.ForEach(func(k, raw []byte) error {
		name, ok := parseKey(k)
		var s Setting
		if !ok || json.Unmarshal(raw, &s) != nil || s.Table == nil {
			return fmt.Errorf("damaged setting %.100q", k)
		}
		h.set[name] = s
		return nil
	})
}

// Setting is the structure set for a table that counts at a place: one set for
// there or before, and not changed by a statement since. It is nil when there is none.
func (h *History) Setting(n schema.Name, at position.Position) *schema.Table {
	s, ok := h.set[h.name(n)]
	if !ok || position.Compare(at, s.At) < 0 {
		return nil
	}
	if k := h.Get(n); k != nil && !k.Since.IsZero() && position.Compare(k.Since, s.At) >= 0 {
		return nil
	}
	return s.Table
}
