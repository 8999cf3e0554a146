// Package schema holds what the columns of a table are.
//
// It knows no socket: who asks the source for a structure is the caller's
// business. A Table never changes once it is made, so it may be shared by
// goroutines; Tables, the set of structures in force, belongs to the one
// goroutine that reads the binlog.
package schema

import "strings"

// Column is one column of a table, in the order of the binlog's table map.
type Column struct {
	Name     string
	Type     string // as the server writes it in SHOW CREATE TABLE: "int(11) unsigned", "enum('a','b')"
	Unsigned bool
	Key      bool // part of the PRIMARY KEY; a unique key does not count, as in Canal
}

// Table is the structure of one table.
type Table struct {
	Schema  string
	Name    string
	Columns []Column
	// HashKeys is how many unique keys a MariaDB keeps by a number of their own,
	// which stands in row images behind the columns.
	HashKeys int `json:",omitempty"`
	// Versioned is true for a table whose versions MariaDB keeps by columns that
	// nobody declared; they stand in row images behind the columns. See All.
	Versioned bool `json:",omitempty"`
}

// versions are the columns that MariaDB adds to a table WITH SYSTEM VERSIONING.
var versions = []Column{{Name: "row_start", Type: "timestamp(6)"}, {Name: "row_end", Type: "timestamp(6)"}}

// All are the columns of the table's row images, those included that nobody declared.
func (t *Table) All() []Column {
	if !t.Versioned {
		return t.Columns
	}
	return append(t.Columns[:len(t.Columns):len(t.Columns)], versions...)
}

// CleanType turns the COLUMN_TYPE of information_schema into the text that
// Canal's clients get: executable comments and what follows the type's own
// attributes are left out.
func CleanType(columnType string) string {
	s := columnType
	for at := 0; ; {
		i := strings.Index(s[at:], "/*")
		if i < 0 {
			break
		}
		i += at
		if insideQuotes(s, i) {
			at = i + len("/*")
			continue
		}
		at = i
		j := strings.Index(s[i:], "*/")
		if j < 0 {
			s = s[:i]
			break
		}
		s = s[:i] + s[i+j+2:]
	}
	s = strings.TrimSpace(s)
	if strings.HasSuffix(s, "zerofill") && !strings.Contains(s, "unsigned") {
		s = strings.TrimSuffix(s, "zerofill") + "unsigned zerofill"
	}
	return s
}

// insideQuotes tells whether position i lies in a quoted member of an ENUM or SET.
func insideQuotes(s string, i int) bool {
	return strings.Count(s[:i], "'")%2 == 1
}

// Unsigned tells whether a type text names an unsigned type, by Canal's rule.
func Unsigned(columnType string) bool {
	return strings.Contains(strings.ToLower(columnType), "unsigned")
}
