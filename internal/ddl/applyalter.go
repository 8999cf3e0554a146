package ddl

import (
	"slices"
	"strings"

	"github.com/canald/canald/internal/schema"
)

func (s *Statement) applyAlter(w *world) {
	n := s.mode.qualified(s.tables[0])
	before := w.get(n)
	if s.ifExists && before.known && before.t == nil {
		return
	}
	now := table{}
	if before.known && before.t != nil {
		if columns, ok := s.altered(before.t.Columns); ok {
			t := renamed(before.t, n)
			t.Columns = columns
			s.version(t)
			now = table{t, true}
		}
	}
	if s.changesColumns() {
		w.set(n, now)
	}
	for _, c := range s.clauses {
		other := s.mode.qualified(c.table)
		switch c.op {
		case partitionToTable:
			w.set(other, now)
			if now.t != nil {
				w.set(other, table{renamed(now.t, other), true})
			}
		case tableToPartition:
			w.set(other, absent)
		default: // the table's own
		}
	}
	for _, c := range slices.Backward(s.clauses) {
		if c.op == renameTo { // the last one counts
			w.rename(n, s.mode.qualified(c.table))
			return
		}
	}
}

// version adds and takes away what MariaDB keeps of a row's versions by itself.
func (s *Statement) version(t *schema.Table) {
	declared := slices.ContainsFunc(s.clauses, func(c clause) bool { return c.op == addPeriod })
	for _, c := range s.clauses {
		switch c.op {
		case addVersioning:
			t.Versioned = !declared
		case dropVersioning:
			t.Versioned = false
		default: // about something else
		}
	}
}

// changesColumns tells whether a clause can change the table's own columns.
func (s *Statement) changesColumns() bool {
	return slices.ContainsFunc(s.clauses, func(c clause) bool {
		return c.structural() && c.op != renameTo && c.op != partitionToTable && c.op != tableToPartition
	})
}

// altered returns the columns after an ALTER TABLE; ok is false when they cannot
// be told. It goes the way of the servers (mysql_prepare_alter_table): first the
// columns that are there, with what drops, changes and renames them, then in the
// order of the clauses what is new or has a new place.
func (s *Statement) altered(before []schema.Column) (columns []schema.Column, ok bool) {
	a := alteration{before: before}
	for i := range s.clauses {
		if !a.collect(&s.clauses[i]) {
			return nil, false
		}
	}
	if !a.keep() {
		return nil, false
	}
	for i := range s.clauses {
		if !a.insert(&s.clauses[i]) {
			return nil, false
		}
	}
	a.keepKeys()
	for i := range s.clauses {
		if !a.addKeys(&s.clauses[i]) {
			return nil, false
		}
	}
	if len(a.columns) == 0 || len(a.columns) > maxColumns {
		return nil, false
	}
	columns = make([]schema.Column, 0, len(a.columns))
	for i := range a.columns {
		columns = append(columns, a.columns[i].Column)
	}
	return columns, true
}

// alteration is a table while it is altered.
type alteration struct {
	before  []schema.Column
	fates   []fate // of the columns before
	columns []newColumn
	dropKey bool
}

// fate is what becomes of a column.
type fate struct {
	dropped bool
	def     *column // what CHANGE or MODIFY makes of it
	newName string  // what RENAME COLUMN calls it
}

// newColumn is a column of the new table.
type newColumn struct {
	schema.Column
	old string // the name by which keys from before find it: the old one, or its own if it is new
}

// find returns the index of a column of the new table, or -1.
func (a *alteration) find(name string) int {
	return slices.IndexFunc(a.columns, func(c newColumn) bool { return strings.EqualFold(c.Name, name) })
}

// collect notes what a clause does to the columns that are there.
func (a *alteration) collect(c *clause) bool {
	if a.fates == nil {
		a.fates = make([]fate, len(a.before))
	}
	switch c.op {
	case dropPrimary:
		a.dropKey = true
	case dropKey:
		a.dropKey = a.dropKey || isPrimary(c.name)
	case convertCharset:
		bytes := strings.EqualFold(c.name.real(), "binary")
		return !slices.ContainsFunc(a.before, func(f schema.Column) bool { return convertible(f, bytes) })
	case dropColumn, changeColumn, renameColumn:
		i := find(a.before, c.name.real())
		if i < 0 {
			return c.ifExists
		}
		switch c.op {
		case dropColumn:
			a.fates[i].dropped = true
		case changeColumn:
			a.fates[i].def = &c.columns[0]
		default:
			a.fates[i].newName = c.newName.real()
		}
	default: // about no column that is there
	}
	return true
}

// keep makes the list of the columns that are left. It returns false when two
// clauses want one column each for itself, which MariaDB takes.
func (a *alteration) keep() bool {
	for i, c := range a.before {
		f := a.fates[i]
		column := newColumn{c, c.Name}
		switch {
		case f.dropped && (f.def != nil || f.newName != ""), f.def != nil && f.newName != "":
			return false
		case f.dropped:
			continue
		case f.def != nil:
			column.Column = f.def.made()
		case f.newName != "":
			column.Name = f.newName
		}
		column.Key = false
		a.columns = append(a.columns, column)
	}
	return true
}

// keepKeys finds the columns of the key that was there. The servers look for the
// first one by its old name, so one that is dropped and added is in the key again.
func (a *alteration) keepKeys() {
	for _, c := range a.before {
		if !c.Key || a.dropKey {
			continue
		}
		if i := slices.IndexFunc(a.columns, func(f newColumn) bool { return strings.EqualFold(f.old, c.Name) }); i >= 0 {
			a.columns[i].Key = true
		}
	}
}

// insert puts what a clause adds or moves into its place.
func (a *alteration) insert(c *clause) bool {
	switch c.op {
	case changeColumn:
		d := &c.columns[0]
		if d.place == unplaced || c.ifExists && find(a.before, c.name.real()) < 0 {
			return true
		}
		i := a.find(d.name.real())
		if i < 0 {
			return false
		}
		column := a.columns[i]
		a.columns = slices.Delete(a.columns, i, i+1)
		return a.put(d, column)
	case addColumns:
		for i := range c.columns {
			d := &c.columns[i]
			n := d.name.real()
			there := a.find(n) >= 0
			if c.ifNotExists && (there || find(a.before, n) >= 0) {
				continue
			}
			column := newColumn{d.made(), n}
			column.Key = false
			if there || len(a.columns) > maxColumns || !a.put(d, column) {
				return false
			}
		}
	default: // it has no place
	}
	return true
}

// put inserts a column at the place that its definition asks for.
func (a *alteration) put(d *column, column newColumn) bool {
	at := len(a.columns)
	switch d.place {
	case unplaced:
	case first:
		if len(a.columns) > 0 && len(a.before) > 0 && isRowID(&a.before[0]) && strings.EqualFold(a.columns[0].Name, a.before[0].Name) {
			return false
		}
		at = 0
	case after:
		if at = a.find(d.after.real()) + 1; at == 0 {
			return false
		}
	}
	a.columns = slices.Insert(a.columns, at, column)
	return true
}

// isRowID tells whether a column looks like the key that MySQL makes by itself
// (sql_generate_invisible_primary_key). That stays the first column, whatever
// a statement says; but nothing here tells it from one that a user made.
func isRowID(c *schema.Column) bool {
	return c.Key && strings.EqualFold(c.Name, "my_row_id") && strings.EqualFold(c.Type, "bigint unsigned")
}

// addKeys makes the key that a clause adds, with a column or without. MariaDB's
// IF EXISTS and IF NOT EXISTS of a column go for its key too: the key is left out
// when the table had one, be it dropped by the same statement, and is made of a
// column that is left out itself when it had none.
func (a *alteration) addKeys(c *clause) bool {
	if (c.ifExists || c.ifNotExists) && slices.ContainsFunc(a.before, func(f schema.Column) bool { return f.Key }) {
		return true
	}
	keys := slices.Clone(c.keys)
	switch c.op {
	case addPrimary:
	case addColumns, changeColumn:
		for i := range c.columns {
			if c.columns[i].primary {
				keys = append(keys, c.columns[i].name)
			}
		}
	default:
		return true
	}
	for _, k := range keys {
		i := a.find(k.real())
		if i < 0 {
			return false
		}
		a.columns[i].Key = true
	}
	return true
}

// maxConverted is the longest VARCHAR that fits into a row in any character set:
// 65535 bytes at 4 bytes a letter.
const maxConverted = 65535 / 4

// convertible tells whether CONVERT TO CHARACTER SET may make characters bytes, or
// of a long VARCHAR a text. A text that grows says so in its rows, by more bytes
// of length.
func convertible(c schema.Column, bytes bool) bool {
	typ := strings.ToLower(c.Type)
	switch {
	case strings.HasPrefix(typ, "enum"), strings.HasPrefix(typ, "set"):
		return false
	case bytes && (strings.Contains(typ, "text") || typ == "long"):
		return true
	case !strings.Contains(typ, "char"):
		return false
	}
	return bytes || typeLength(typ) > maxConverted
}

// typeLength is the number in a type's parentheses.
func typeLength(typ string) int {
	_, s, _ := strings.Cut(typ, "(")
	n := 0
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9' && n < maxTypeBytes; i++ {
		n = 10*n + int(s[i]-'0')
	}
	return n
}
