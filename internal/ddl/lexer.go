package ddl

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	end    tokenKind = iota // of the statement
	word                    // an unquoted name, a keyword or a number
	quoted                  // a name in quotes
	text                    // a string literal
	mark                    // any other single byte
	bad                     // a literal or comment without its end, which runs to the end of the statement
)

// token is sql[from:to].
type token struct {
	kind     tokenKind
	from, to int
	// hint is what Canal's parser skipped before the token as executable
	// comments; the server reads what is in them.
	hint []byte
}

// lexer cuts a statement into tokens, one at a time and never looking ahead: a
// caller that knows enough just stops.
type lexer struct {
	sql  []byte
	mode Mode
	// canal makes it read as Canal's parser does: executable comments are
	// skipped, backslashes always escape, and double quotes may quote names.
	canal    bool
	at       int
	inHint   bool // between the begin and the end of an executable comment
	noTokens bool // a failure ends the statement
	// escaped is set when a quote behind a backslash was taken as part of a
	// literal though the session's backslashes do not escape.
	escaped bool
}

func (l *lexer) scan() token {
	t := token{}
	if l.noTokens {
		return token{from: len(l.sql), to: len(l.sql)}
	}
	if whole := l.blanks(&t); !whole {
		t.kind, t.from, t.to = bad, l.at, len(l.sql)
		l.at = len(l.sql)
		return t
	}
	t.from = l.at
	if l.at == len(l.sql) {
		t.to = l.at
		return t
	}
	switch c := l.sql[l.at]; {
	case isWordByte(c):
		for l.at < len(l.sql) && isWordByte(l.sql[l.at]) {
			l.at++
		}
		t.kind = word
	case c == '`':
		t.kind = l.quote(c, false, quoted)
	case c == '\'':
		t.kind = l.quote(c, true, text)
	case c == '"' && l.canal:
		t.kind = l.quote(c, true, quoted)
	case c == '"':
		if l.mode.ANSIQuotes {
			t.kind = l.quote(c, false, quoted)
		} else {
			t.kind = l.quote(c, true, text)
		}
	default:
		l.at++
		t.kind = mark
	}
	t.to = l.at
	return t
}

// quote skips what is quoted from here on.
func (l *lexer) quote(q byte, escapes bool, kind tokenKind) tokenKind {
	backslash := escapes && (l.canal || !l.mode.NoBackslashEscapes)
	for l.at++; l.at < len(l.sql); l.at++ {
		switch c := l.sql[l.at]; {
		case c == '\\' && backslash:
			l.at++
			if l.mode.NoBackslashEscapes && l.at < len(l.sql) && (l.sql[l.at] == '\'' || l.sql[l.at] == '"') {
				l.escaped = true
			}
		case c != q:
		case l.at+1 < len(l.sql) && l.sql[l.at+1] == q:
			l.at++
		default:
			l.at++
			return kind
		}
	}
	l.at = len(l.sql) // a backslash may have led one further
	return bad
}

// blanks skips white space and comments. It returns false, with the place
// unchanged, at a comment that has no end.
func (l *lexer) blanks(t *token) bool {
	hintAt := -1
	for l.at < len(l.sql) {
		rest := l.sql[l.at:]
		switch c := rest[0]; {
		case isSpace(c):
			l.at++
		case c == '#', bytes.HasPrefix(rest, []byte("--")) && (len(rest) == 2 || isSpace(rest[2])):
			if i := bytes.IndexByte(rest, '\n'); i >= 0 {
				l.at += i + 1
			} else {
				l.at = len(l.sql)
			}
		case l.inHint && bytes.HasPrefix(rest, []byte("*/")):
			l.inHint = false
			l.at += 2
		case bytes.HasPrefix(rest, []byte("/*")):
			if n := l.hintStart(rest); n > 0 && !l.canal {
				l.inHint = true
				l.at += n
				continue
			}
			n := bytes.Index(rest[2:], []byte("*/"))
			if n < 0 {
				return false
			}
			if l.canal && rest[2] == '!' {
				if hintAt < 0 {
					hintAt = l.at
				}
				t.hint = l.sql[hintAt : l.at+2+n]
			}
			l.at += 2 + n + 2
		default:
			return true
		}
	}
	return true
}

// Versions in executable comments. MariaDB counts its own from 10.0.0 on, and
// leaves alone what is for MySQL 5.7 to 9.
const (
	mariaDBSkipsFrom = 50700
	mariaDBSkipsTo   = 99999
	mysqlSkipsFrom   = 99999 // no MySQL has that version
	maxVersionDigits = 6
)

// hintStart returns how many bytes open an executable comment that the source
// reads, or 0. A source rewrites the comments that are for a later version than
// its own when it executes the statement, so what is left was read by it.
func (l *lexer) hintStart(s []byte) int {
	n := len("/*!")
	switch {
	case bytes.HasPrefix(s, []byte("/*!")):
	case l.mode.MariaDB && bytes.HasPrefix(s, []byte("/*M!")):
		n++
	default:
		return 0
	}
	digits := 0
	for digits < maxVersionDigits && n+digits < len(s) && s[n+digits] >= '0' && s[n+digits] <= '9' {
		digits++
	}
	if digits < maxVersionDigits-1 {
		return n
	}
	version, _ := strconv.Atoi(string(s[n : n+digits]))
	if l.mode.MariaDB && version >= mariaDBSkipsFrom && version <= mariaDBSkipsTo || !l.mode.MariaDB && version >= mysqlSkipsFrom {
		return 0
	}
	return n + digits
}

func isSpace(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r' || c == 0
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= utf8.RuneSelf
}

// unescape is the value of a string literal that stands in quotes.
func unescape(s string, backslash bool) string {
	quote := s[0]
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, quote) < 0 && (!backslash || strings.IndexByte(s, '\\') < 0) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == quote && i+1 < len(s):
			i++
			b.WriteByte(quote)
		case c == '\\' && backslash && i+1 < len(s):
			i++
			if at := strings.IndexByte("0bnrtZ", s[i]); at >= 0 {
				b.WriteByte("\x00\b\n\r\t\x1a"[at])
			} else {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
