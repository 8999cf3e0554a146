package ddl

import (
	"slices"
	"strings"

	"github.com/canald/canald/internal/schema"
)

// Undo returns the table's structure before the statement, given the one after
// it; nil when the statement does not tell. A column whose type it does not tell
// has none. The table keeps its name: statements that give it another do not tell.
func (s *Statement) Undo(after *schema.Table) *schema.Table {
	if s.verb != alterTable || s.mode.qualified(s.tables[0]) != (schema.Name{Schema: after.Schema, Table: after.Name}) {
		return nil
	}
	t := renamed(after, schema.Name{Schema: after.Schema, Table: after.Name})
	find := func(n name) int {
		return slices.IndexFunc(t.Columns, func(c schema.Column) bool { return strings.EqualFold(c.Name, n.real()) })
	}
	// What is new goes first, so that an old name may come back.
	for _, c := range s.clauses {
		if c.op != addColumns {
			continue
		}
		for _, d := range c.columns {
			i := find(d.name)
			if i < 0 || c.ifNotExists {
				return nil
			}
			t.Columns = slices.Delete(t.Columns, i, i+1)
		}
	}
	back := map[int]string{} // all names change at once
	for _, c := range s.clauses {
		var i int
		switch c.op {
		case addColumns, alterOther, alterNothing, addIndex, tableOptionClause, addPeriod:
			continue
		case dropKey:
			if isPrimary(c.name) {
				return nil
			}
			continue
		case renameColumn:
			i = find(c.newName)
		case changeColumn:
			if c.columns[0].place != unplaced {
				return nil
			}
			if i = find(c.columns[0].name); i >= 0 {
				t.Columns[i].Type, t.Columns[i].Unsigned = "", false
			}
		default: // a column or a key that is gone, another name of the table
			return nil
		}
		if i < 0 || c.ifExists {
			return nil
		}
		back[i] = c.name.real()
	}
	for i, n := range back {
		t.Columns[i].Name = n
	}
	return t
}
