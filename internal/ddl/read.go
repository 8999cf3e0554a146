package ddl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/canald/canald/internal/schema"
)

// Statement is what a statement does to the structures of tables, whichever way
// its entry is classified.
type Statement struct {
	mode Mode
	statement
	// vague is set when the table's columns could not be made out.
	vague bool
}

var errNotKnown = errors.New("not known whether it changes a structure")

// Read finds out what a statement does to structures. It returns nil when it
// changes none; temporary tables count as nothing, since the binlog has no rows
// of them. An error says that it may change some, but was not understood: then
// every table that it mentions has to be taken for changed.
func Read(sql []byte, m Mode) (*Statement, error) {
	p := newParser(sql, m, false)
	s := &Statement{mode: m, statement: p.parse()}
	switch s.verb {
	case unknown:
		if p.err != nil {
			return nil, fmt.Errorf("statement: %w", p.err)
		}
		return nil, fmt.Errorf("statement: %w", errNotKnown)
	case other, insertRows, updateRows, deleteRows, truncateTable, createIndex:
		return nil, nil
	default:
	}
	if s.temporary {
		return nil, nil
	}
	if p.err != nil {
		named := len(s.tables) == 1 && s.tables[0].table != ""
		if s.verb != createTable || !named {
			return nil, fmt.Errorf("statement: %w", p.err)
		}
		s.vague = true
	}
	if !s.structural() {
		return nil, nil
	}
	return s, nil
}

// Altered is the table that an ALTER TABLE is about; ok is false for another statement.
func (s *Statement) Altered() (n schema.Name, ok bool) {
	if s.verb != alterTable {
		return n, false
	}
	return s.mode.qualified(s.tables[0]), true
}

// structural tells whether the statement can change a structure at all.
func (s *Statement) structural() bool {
	switch s.verb {
	case createDatabase:
		return s.orReplace
	case dropIndex:
		return isPrimary(s.index)
	case alterTable:
		return slices.ContainsFunc(s.clauses, func(c clause) bool { return c.structural() })
	default:
		return true
	}
}

// structural tells whether a clause can change a structure.
func (c *clause) structural() bool {
	switch c.op {
	case alterOther, alterNothing, addIndex, tableOptionClause, addPeriod:
		return false
	case dropKey:
		return isPrimary(c.name)
	default:
		return true
	}
}

// isPrimary tells whether a key's name is that of the primary key.
func isPrimary(n name) bool { return strings.EqualFold(n.real(), "PRIMARY") }

// Mentions returns the tables that the statement can change or copies from, old
// and new names of a RENAME included. An empty table name stands for all tables
// of the schema.
func (s *Statement) Mentions() []schema.Name {
	var names []schema.Name
	add := func(n schema.Name) {
		names = append(names, n)
	}
	if s.verb == createDatabase || s.verb == dropDatabase {
		return []schema.Name{{Schema: s.mode.real(s.tables[0].table)}}
	}
	for _, t := range s.tables {
		add(s.mode.qualified(t))
	}
	if s.like != nil {
		add(s.mode.qualified(*s.like))
	}
	for _, c := range s.clauses {
		if c.table.table != "" {
			add(s.mode.qualified(c.table))
		}
	}
	return names
}

// qualified is a table's real name.
func (m Mode) qualified(t ref) schema.Name {
	n := schema.Name{Schema: m.Schema, Table: m.real(t.table)}
	if t.schema != "" {
		n.Schema = m.real(t.schema)
	} else if m.LowerNames {
		n.Schema = strings.ToLower(n.Schema)
	}
	return n
}

// real is the real name of a schema or a table.
func (m Mode) real(n name) string {
	if m.LowerNames {
		return strings.ToLower(n.real())
	}
	return n.real()
}
