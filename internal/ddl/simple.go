package ddl

import (
	"bytes"
	"strings"
)

// maxSimpleBytes bounds how much of a statement Simple reads.
const maxSimpleBytes = 1 << 20

// Simple says what Canal's other parser (canal.instance.filter.druid.ddl=false,
// SimpleDdlParser) makes of a statement. There is always one result.
//
// That parser matches the beginning of a text with patterns. Its wrong names are
// kept: the comma that clings to the first table of a list, the dot in quotes
// that parts schema and table, the table "space" that CREATE TABLESPACE makes.
func Simple(sql []byte, m Mode) []Result {
	s := newScanner(sql)
	plain := Result{Kind: Query, Schema: m.Schema, HasSchema: true}
	switch {
	case s.words("ALTER", "?IGNORE", "TABLE"):
		return []Result{m.simple(Alter, s.rest())}
	case s.words("CREATE", "?TEMPORARY", "TABLE"):
		return []Result{m.simple(Create, s.rest())}
	case s.words("DROP", "?TEMPORARY", "TABLE"):
		return []Result{m.simple(Erase, s.rest())}
	case s.words("TRUNCATE", "?TABLE"):
		return []Result{m.simple(Truncate, s.rest())}
	case s.words("RENAME", "TABLE") && s.blanks(s.at) > s.at:
		if from, to, ok := cutWord(s.rest(), "TO"); ok {
			r := m.simple(Rename, to)
			old := m.simple(Rename, from)
			r.FromSchema, r.FromTable = old.Schema, old.Table
			return []Result{r}
		}
	case s.words("CREATE", "?UNIQUE", "?FULLTEXT", "?SPATIAL", "INDEX"):
		if _, on, ok := cutWord(s.rest(), "ON"); ok {
			return []Result{m.simple(CreateIndex, on)}
		}
	case s.words("DROP", "INDEX"):
		if _, on, ok := cutWord(s.rest(), "ON"); ok {
			return []Result{m.simple(DropIndex, on)}
		}
	case s.words("INSERT"), s.words("MERGE"), s.words("REPLACE"):
		plain.Kind = Insert
	case s.words("UPDATE"):
		plain.Kind = Update
	case s.words("DELETE"):
		plain.Kind = Delete
	}
	return []Result{plain}
}

// scanner finds words at the beginning of a statement. A word need not end
// where a keyword does, as in the patterns that it stands for.
type scanner struct {
	sql []byte
	at  int // behind the words found last
}

func newScanner(sql []byte) *scanner {
	return &scanner{sql: sql[:min(len(sql), maxSimpleBytes)]}
}

// words tells whether the statement begins with the words, blanks between them
// or not; those behind a question mark may be missing. Comments are blanks.
func (s *scanner) words(words ...string) bool {
	at := 0
	for _, w := range words {
		w, optional := strings.CutPrefix(w, "?")
		at = s.blanks(at)
		if hasWord(s.sql[at:], w) {
			at += len(w)
		} else if !optional {
			return false
		}
	}
	s.at = at
	return true
}

func (s *scanner) blanks(at int) int {
	for at < len(s.sql) {
		switch n := comment(s.sql[at:]); {
		case n > 0:
			at += n
		case isSpace(s.sql[at]):
			at++
		default:
			return at
		}
	}
	return at
}

// comment returns the length of a comment that begins here, or 0.
func comment(s []byte) int {
	if !bytes.HasPrefix(s, []byte("/*")) {
		return 0
	}
	n := bytes.Index(s[2:], []byte("*/"))
	if n < 0 {
		return 0
	}
	return 2 + n + 2
}

func hasWord(s []byte, keyword string) bool {
	return len(s) >= len(keyword) && equalWord(s[:len(keyword)], keyword)
}

// rest is what stands behind the words, with a blank for each comment.
func (s *scanner) rest() string {
	var b strings.Builder
	open := true // false once a comment without its end was met
	for at := s.at; at < len(s.sql); {
		i := -1
		if open {
			i = bytes.Index(s.sql[at:], []byte("/*"))
		}
		if i < 0 {
			b.Write(s.sql[at:])
			break
		}
		b.Write(s.sql[at : at+i])
		at += i
		if n := comment(s.sql[at:]); n > 0 {
			b.WriteByte(' ')
			at += n
		} else {
			open = false
		}
	}
	return strings.TrimLeftFunc(b.String(), isBlank)
}

func isBlank(r rune) bool { return r < 0x80 && isSpace(byte(r)) }

// cutWord parts a text at the first such word that has blanks around it and a
// letter before them.
func cutWord(s, keyword string) (before, behind string, found bool) {
	for i := 1; i+len(keyword) < len(s); i++ {
		if !isSpace(s[i-1]) || !isSpace(s[i+len(keyword)]) || !hasWord([]byte(s[i:i+len(keyword)]), keyword) {
			continue
		}
		before = strings.TrimRightFunc(s[:i], isBlank)
		behind = strings.TrimLeftFunc(s[i+len(keyword):], isBlank)
		if before != "" && behind != "" {
			return before, behind, true
		}
	}
	return "", "", false
}

// simple finds the table's name at the beginning of a text.
func (m Mode) simple(k Kind, s string) Result {
	r := Result{Kind: k, Schema: m.Schema, HasSchema: true}
	for _, words := range [][]string{{"IF", "NOT", "EXISTS"}, {"IF", "EXISTS"}} {
		c := newScanner([]byte(s[:min(len(s), maxNameBytes)]))
		if c.words(words...) {
			s = strings.TrimLeftFunc(s[c.at:], isBlank)
		}
	}
	s = s[:min(len(s), maxNameBytes)]
	// What ends the name is not looked for in its first letter, which may be a quote.
	for i := 1; i < len(s); i++ {
		if isSpace(s[i]) || s[i] == ';' || s[i] == '(' {
			s = s[:i]
			break
		}
	}
	s = strings.TrimFunc(strings.TrimSuffix(s, ";"), isBlank)
	parts := strings.FieldsFunc(unquoted(s), func(r rune) bool { return r == '.' })
	switch len(parts) {
	case 0:
	case 1:
		r.Table = unquoted(parts[0])
	default:
		r.Schema, r.Table = unquoted(parts[0]), unquoted(parts[1])
	}
	r.HasTable = r.Table != ""
	return r
}

// unquoted takes away one back quote from each end.
func unquoted(s string) string {
	return strings.TrimPrefix(strings.TrimSuffix(s, "`"), "`")
}
