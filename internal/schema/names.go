package schema

import (
	"strings"
	"unicode/utf8"
)

// Name is a qualified table name.
type Name struct{ Schema, Table string }

// Mentioned are those of the tables that a statement may have changed. A
// statement can only change a table whose name, or for DROP DATABASE whose
// schema, it mentions: that is tested on its words, without understanding the
// statement, so no syntax escapes it. One table too many costs one query. The
// statement should be in UTF-8.
func Mentioned(statement []byte, tables []Name) []Name {
	if !utf8.Valid(statement) {
		// In whichever character set it is, no name can be compared with certainty.
		return tables
	}
	words, schemaWide := statementWords(statement)
	bare := unquoted(string(statement))
	says := func(name string) bool {
		if isWord(name) {
			_, ok := words[strings.ToLower(name)]
			return ok
		}
		return strings.Contains(bare, unquoted(name))
	}
	var found []Name
	for _, n := range tables {
		if says(n.Table) || schemaWide && says(n.Schema) {
			found = append(found, n)
		}
	}
	return found
}

// unquoted is a text in lower case without quotes: which of them surround a name,
// and which are doubled inside it, depends on the session's sql_mode.
func unquoted(s string) string {
	return strings.NewReplacer("`", "", `"`, "").Replace(strings.ToLower(s))
}

// statementWords splits a statement into its lower-case words. schemaWide is
// true when it speaks of a database.
func statementWords(statement []byte) (words map[string]struct{}, schemaWide bool) {
	words = map[string]struct{}{}
	start := -1
	for i := 0; i <= len(statement); i++ {
		var c byte
		if i < len(statement) {
			c = statement[i]
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
	return words, database || schema
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
