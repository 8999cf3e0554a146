package ddl

import (
	"slices"
	"strings"

	"github.com/canald/canald/internal/schema"
)

// Catalog is the set of structures before a statement.
type Catalog interface {
	// Table returns a table's structure. ok is false when it is not known what
	// the table is; nil and true say that there is no such table.
	Table(name schema.Name) (t *schema.Table, ok bool)
	// Tables lists the tables of a schema.
	Tables(schema string) []schema.Name
}

// Change is what a statement makes of one table.
type Change struct {
	Name   schema.Name
	Before *schema.Table // nil when there was none or it was not known
	After  *schema.Table // nil when there is none any more, or it is Unknown
	// Unknown says that what the table is now cannot be told from the statement
	// and the catalog: the source has to be asked.
	Unknown bool
}

// Apply returns what the statement changes, given the structures before it. The
// statement is taken to have succeeded. A table that stays as it is has no
// change, and each table has one at most. Tables in it are never those of the
// catalog, but for Before.
func (s *Statement) Apply(c Catalog) []Change {
	w := &world{catalog: c, before: map[schema.Name]table{}, now: map[schema.Name]table{}}
	switch s.verb {
	case createTable:
		s.applyCreate(w)
	case alterTable:
		s.applyAlter(w)
	case dropTable, dropSequence:
		for _, t := range s.tables {
			w.set(s.mode.qualified(t), absent)
		}
	case renameTable:
		for i := 0; i+1 < len(s.tables); i += 2 {
			w.rename(s.mode.qualified(s.tables[i]), s.mode.qualified(s.tables[i+1]))
		}
	case dropIndex:
		s.dropPrimaryIndex(w)
	case createDatabase, dropDatabase:
		for _, n := range c.Tables(s.mode.real(s.tables[0].table)) {
			w.set(n, absent)
		}
	case createSequence:
		n := s.mode.qualified(s.tables[0])
		if before := w.get(n); s.ifNotExists && before.known && before.t != nil {
			break
		}
		w.set(n, table{})
	case alterSequence:
		w.set(s.mode.qualified(s.tables[0]), table{})
	default: // Read makes no Statement of the others
	}
	return w.changes()
}

// table is what is known of one: not known, absent (known and nil), or its structure.
type table struct {
	t     *schema.Table
	known bool
}

var absent = table{known: true}

// world is the catalog with the changes so far.
type world struct {
	catalog     Catalog
	before, now map[schema.Name]table
	order       []schema.Name // of the tables set
}

func (w *world) get(n schema.Name) table {
	if t, ok := w.now[n]; ok {
		return t
	}
	return w.original(n)
}

func (w *world) original(n schema.Name) table {
	if t, ok := w.before[n]; ok {
		return t
	}
	t, ok := w.catalog.Table(n)
	if !ok {
		t = nil
	}
	w.before[n] = table{t, ok}
	return w.before[n]
}

func (w *world) set(n schema.Name, t table) {
	if _, ok := w.now[n]; !ok {
		w.original(n)
		w.order = append(w.order, n)
	}
	w.now[n] = t
}

// rename moves a table. One that the catalog says is not there was there after
// all, as the statement succeeded.
func (w *world) rename(from, to schema.Name) {
	t := w.get(from)
	if from == to {
		return
	}
	w.set(from, absent)
	if !t.known || t.t == nil {
		w.set(to, table{})
		return
	}
	w.set(to, table{renamed(t.t, to), true})
}

// renamed is a copy of a structure under another name.
func renamed(t *schema.Table, n schema.Name) *schema.Table {
	c := *t
	c.Schema, c.Name, c.Columns = n.Schema, n.Table, slices.Clone(t.Columns)
	return &c
}

func (w *world) changes() []Change {
	var changes []Change
	for _, n := range w.order {
		before, now := w.before[n], w.now[n]
		if now.known && before.known && sameColumns(before.t, now.t) {
			continue
		}
		changes = append(changes, Change{Name: n, Before: before.t, After: now.t, Unknown: !now.known})
	}
	return changes
}

func sameColumns(a, b *schema.Table) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.Columns, b.Columns) && a.Versioned == b.Versioned
}

func (s *Statement) applyCreate(w *world) {
	n := s.mode.qualified(s.tables[0])
	if s.ifNotExists {
		before := w.get(n)
		if before.known && before.t != nil {
			return
		}
		if !before.known { // it may have been there, then nothing was done
			w.set(n, table{})
			return
		}
	}
	switch {
	case s.vague || s.query:
		w.set(n, table{})
	case s.like != nil:
		source := w.get(s.mode.qualified(*s.like))
		if !source.known || source.t == nil {
			w.set(n, table{})
			return
		}
		w.set(n, table{renamed(source.t, n), true})
	default:
		w.set(n, s.created(n))
	}
}

// created is the table that a CREATE TABLE with columns makes.
func (s *Statement) created(n schema.Name) table {
	if len(s.columns) == 0 || len(s.columns) > maxColumns {
		return table{} // an engine may find the columns by itself
	}
	t := &schema.Table{
		Schema: n.Schema, Name: n.Table, Columns: make([]schema.Column, 0, len(s.columns)),
		Versioned: s.versioned && !s.period,
	}
	for i := range s.columns {
		t.Columns = append(t.Columns, s.columns[i].made())
	}
	if !setKeys(t.Columns, s.keys) {
		return table{}
	}
	return table{t, true}
}

// made is the column that a definition makes.
func (c *column) made() schema.Column {
	return schema.Column{Name: c.name.real(), Type: c.typ, Unsigned: c.unsigned, Key: c.primary}
}

// setKeys makes the named columns part of the primary key, and returns false
// when one of them is not there.
func setKeys(columns []schema.Column, keys []name) bool {
	for _, k := range keys {
		i := find(columns, k.real())
		if i < 0 {
			return false
		}
		columns[i].Key = true
	}
	return true
}

// find returns the index of a column, or -1. Names of columns have no case.
func find(columns []schema.Column, name string) int {
	return slices.IndexFunc(columns, func(c schema.Column) bool { return strings.EqualFold(c.Name, name) })
}

func (s *Statement) dropPrimaryIndex(w *world) {
	n := s.mode.qualified(s.tables[0])
	before := w.get(n)
	if !before.known || before.t == nil {
		w.set(n, table{})
		return
	}
	t := renamed(before.t, n)
	for i := range t.Columns {
		t.Columns[i].Key = false
	}
	w.set(n, table{t, true})
}
