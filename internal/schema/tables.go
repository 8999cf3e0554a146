package schema

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Name is a qualified table name.
type Name struct{ Schema, Table string }

// Tables is the set of structures in force at the place where the binlog is
// read. A statement that may have changed a table marks it stale; a stale or
// unknown table has to be read again before its next row is decoded.
//
// It has one owner and no lock.
type Tables struct {
	tables map[Name]*tableState
	// byWord finds the tables that a statement can mean by the words in it.
	byWord map[string][]Name
	// odd are names that are not one word; a statement is searched for each of them.
	odd map[Name]struct{}
}

type tableState struct {
	table *Table
	stale bool
}

// NewTables makes an empty set.
func NewTables() *Tables {
	return &Tables{tables: map[Name]*tableState{}, byWord: map[string][]Name{}, odd: map[Name]struct{}{}}
}

// Put sets the structure of a table as it is now.
func (t *Tables) Put(table *Table) {
	name := Name{table.Schema, table.Name}
	if s, ok := t.tables[name]; ok {
		s.table, s.stale = table, false
		return
	}
	t.tables[name] = &tableState{table: table}
	if isWord(table.Name) {
		w := strings.ToLower(table.Name)
		t.byWord[w] = append(t.byWord[w], name)
		return
	}
	t.odd[name] = struct{}{}
}

// Get returns the structure of a table, or nil when it is not known or stale.
func (t *Tables) Get(name Name) *Table {
	if s, ok := t.tables[name]; ok && !s.stale {
		return s.table
	}
	return nil
}

// Remove makes the table's structure unknown.
func (t *Tables) Remove(name Name) {
	if s, ok := t.tables[name]; ok {
		s.stale, s.table = true, nil // a dropped table keeps its name only
	}
}

// Len is the number of tables known, stale ones included.
func (t *Tables) Len() int { return len(t.tables) }

// Reset forgets everything.
func (t *Tables) Reset() { *t = *NewTables() }

// Invalidate marks every table stale that the statement may have changed and
// returns how many those are. A statement can only change a table whose name,
// or for DROP DATABASE whose schema, it mentions: that is tested on its words,
// without understanding the statement, so no syntax escapes it. Marking one
// table too many costs one query.
func (t *Tables) Invalidate(statement []byte) int {
	words, schemaWide, foreign := statementWords(statement)
	n := 0
	mark := func(name Name) {
		if s := t.tables[name]; !s.stale {
			s.stale, s.table = true, nil // a dropped table keeps its name only
			n++
		}
	}
	if foreign {
		// Letters outside ASCII may be in any of the session's character sets,
		// so no name can be compared with certainty.
		for name := range t.tables {
			mark(name)
		}
		return n
	}
	for w := range words {
		for _, name := range t.byWord[w] {
			mark(name)
		}
	}
	if len(t.odd) == 0 && !schemaWide {
		return n
	}
	bare := unquoted(string(statement))
	for name := range t.odd {
		if strings.Contains(bare, unquoted(name.Table)) || !isASCII(name.Table) {
			mark(name)
		}
	}
	if schemaWide {
		for name := range t.tables {
			_, ok := words[strings.ToLower(name.Schema)]
			if ok || !isWord(name.Schema) && strings.Contains(bare, unquoted(name.Schema)) {
				mark(name)
			}
		}
	}
	return n
}

// unquoted is a text in lower case without quotes: which of them surround a name,
// and which are doubled inside it, depends on the session's sql_mode.
func unquoted(s string) string {
	return strings.NewReplacer("`", "", `"`, "").Replace(strings.ToLower(s))
}

// statementWords splits a statement into its lower-case words. schemaWide is
// true when it speaks of a database; foreign when it has bytes outside ASCII.
func statementWords(statement []byte) (words map[string]struct{}, schemaWide, foreign bool) {
	words = map[string]struct{}{}
	start := -1
	for i := 0; i <= len(statement); i++ {
		var c byte
		if i < len(statement) {
			c = statement[i]
		}
		if c >= utf8.RuneSelf {
			foreign = true
		}
		if isWordByte(c) {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 {
			words[strings.ToLower(string(statement[start:i]))] = struct{}{}
			start = -1
		}
	}
	_, database := words["database"]
	_, schema := words["schema"]
	return words, database || schema, foreign
}

func isWordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isWord(s string) bool {
	for i := range len(s) {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] > unicode.MaxASCII {
			return false
		}
	}
	return true
}
