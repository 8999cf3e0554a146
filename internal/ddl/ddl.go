// Package ddl reads MySQL's and MariaDB's statements as they stand in the query
// events of a binlog: Druid and Simple say what Canal's two parsers make of one,
// Read says what it does to the structures of tables.
//
// It is a tolerant reader and no grammar: what says nothing about columns is
// skipped over, so a new option or expression does not make it fail. Any bytes
// may be given to it. Its time is linear in the part of the statement that it
// looks at, which for an INSERT is the beginning.
//
// Statements are taken to be in UTF-8, or in another character set whose bytes
// below 0x80 are ASCII wherever they stand. It keeps no state, and all of its
// functions may be called by several goroutines.
package ddl

import "strings"

// Mode is what a query event says about its session and the source.
type Mode struct {
	Schema             string // the default database, empty when there is none
	ANSIQuotes         bool   // sql_mode ANSI_QUOTES: "a" is a name
	NoBackslashEscapes bool   // sql_mode NO_BACKSLASH_ESCAPES
	MariaDB            bool
	// LowerNames is for a source whose lower_case_table_names is 1: Read gives
	// the names of schemas and tables in lower case, as such a source stores
	// them. Druid and Simple keep them as written.
	LowerNames bool
}

// Kind is the number of Canal's EventType on the wire.
type Kind int

// The kinds that a statement can have.
const (
	Insert      Kind = 1
	Update      Kind = 2
	Delete      Kind = 3
	Create      Kind = 4
	Alter       Kind = 5
	Erase       Kind = 6
	Query       Kind = 7
	Truncate    Kind = 8
	Rename      Kind = 9
	CreateIndex Kind = 10
	DropIndex   Kind = 11
)

var kindNames = map[Kind]string{
	Insert: "INSERT", Update: "UPDATE", Delete: "DELETE", Create: "CREATE", Alter: "ALTER", Erase: "ERASE",
	Query: "QUERY", Truncate: "TRUNCATE", Rename: "RENAME", CreateIndex: "CINDEX", DropIndex: "DINDEX",
}

// String is the kind's name in Canal's protocol.
func (k Kind) String() string { return kindNames[k] }

// Result is one thing that a statement does, as Canal's clients see it. Names
// are Canal's: doubled quotes in them stay doubled. A table without a schema in
// the statement has the default database's, though that be empty.
type Result struct {
	Kind                Kind
	Schema, Table       string
	HasSchema, HasTable bool
	// FromSchema and FromTable are the name before a RENAME.
	FromSchema, FromTable string
}

// Bounds. The servers allow names of 64 characters and tables of 4096 columns.
const (
	maxNameBytes = 1024
	maxColumns   = 4096
	maxParts     = 65536 // clauses of an ALTER, tables of a DROP, pairs of a RENAME
	maxTypeBytes = 1 << 20
)

// name is a name as it is written, with its quotes.
type name string

// real is the name that is meant: without quotes, and doubled ones single.
func (n name) real() string {
	if len(n) < 2 || n[0] != '`' && n[0] != '"' {
		return string(n)
	}
	quote := string(n[0])
	return strings.ReplaceAll(string(n[1:len(n)-1]), quote+quote, quote)
}

// druid is the name as Canal's parser has it: only the outer quotes are taken
// away, and only when something is between them (DruidDdlParser.unescapeName).
func (n name) druid() string {
	if last := len(n) - 1; len(n) > 2 && n[0] == n[last] && (n[0] == '`' || n[0] == '"') {
		return string(n[1:last])
	}
	return string(n)
}

// ref is a table's name as it is written; schema is empty when it is not said.
type ref struct{ schema, table name }
