package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of one file. Merging layers compares each key with each other, hence
// the bound on their number.
const (
	maxFileBytes = 4 << 20
	maxFileKeys  = 4096
)

// property is a value and where it was written. A line of 0 means that the
// origin has no lines: the environment or the command line; an empty file means
// a default.
type property struct {
	text string
	file string
	line int
}

// scan reads the syntax of Java's properties files. The bytes are UTF-8 when
// they are valid as such, else ISO-8859-1, which is all that Java knows. The
// last definition of a key wins. What is malformed is reported with its line
// but without its text, which may be a secret; the rest is returned all the same.
func scan(file string, data []byte) (map[string]property, []error) {
	if len(data) > maxFileBytes {
		return nil, []error{&problem{file: file, what: fmt.Sprintf("%d bytes, more than %d", len(data), maxFileBytes)}}
	}
	s := scanner{file: file, text: decode(data), found: map[string]property{}}
	for s.logicalLine() {
		s.define()
	}
	return s.found, s.errs
}

func decode(data []byte) string {
	if utf8.Valid(data) {
		return string(bytes.TrimPrefix(data, []byte("\ufeff")))
	}
	var b strings.Builder
	b.Grow(2 * len(data))
	for _, c := range data {
		b.WriteRune(rune(c))
	}
	return b.String()
}

type scanner struct {
	file  string
	text  string // what is not read yet
	read  int    // natural lines read
	found map[string]property
	errs  []error

	logical string // the line at hand, still escaped
	line    int    // its first natural line
}

const blanks = " \t\f"

// naturalLine takes one line off the text; it ends with \n, \r or \r\n.
func (s *scanner) naturalLine() (string, bool) {
	if s.text == "" {
		return "", false
	}
	s.read++
	end := strings.IndexAny(s.text, "\r\n")
	if end < 0 {
		l := s.text
		s.text = ""
		return l, true
	}
	l := s.text[:end]
	next := end + 1
	if s.text[end] == '\r' && next < len(s.text) && s.text[next] == '\n' {
		next++
	}
	s.text = s.text[next:]
	return l, true
}

// logicalLine joins continued lines; comments and blank lines are passed over.
func (s *scanner) logicalLine() bool {
	for {
		l, ok := s.naturalLine()
		if !ok {
			return false
		}
		l = strings.TrimLeft(l, blanks)
		if l == "" || l[0] == '#' || l[0] == '!' {
			continue
		}
		s.line = s.read
		if !continues(l) {
			s.logical = l
			return true
		}
		var b strings.Builder
		for ok && continues(l) {
			b.WriteString(l[:len(l)-1])
			l, ok = s.naturalLine()
			l = strings.TrimLeft(l, blanks)
		}
		b.WriteString(l)
		if s.logical = b.String(); s.logical != "" {
			return true
		}
	}
}

// continues tells whether a line ends with an odd number of backslashes.
func continues(l string) bool {
	n := len(l) - len(strings.TrimRight(l, `\`))
	return n%2 == 1
}

func (s *scanner) define() {
	key, value := splitLine(s.logical)
	k, err := unescape(key)
	if err == nil {
		value, err = unescape(value)
	}
	if err != nil {
		s.errs = append(s.errs, &problem{file: s.file, line: s.line, what: err.Error()})
		return
	}
	if _, known := s.found[k]; !known && len(s.found) == maxFileKeys {
		s.errs = append(s.errs, &problem{file: s.file, line: s.line, what: fmt.Sprintf("more than %d keys", maxFileKeys)})
		s.text = ""
		return
	}
	s.found[k] = property{text: value, file: s.file, line: s.line}
}

// splitLine ends the key at the first =, : or blank that is not escaped; one =
// or : between blanks belongs to neither side.
func splitLine(l string) (key, value string) {
	end := 0
	for end < len(l) && !strings.ContainsRune("=:"+blanks, rune(l[end])) {
		if l[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(l) {
		return l, ""
	}
	value = strings.TrimLeft(l[end:], blanks)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], blanks)
	}
	return l[:end], value
}

// unescape resolves \t \n \r \f \uXXXX; before any other character the
// backslash just goes, so that a\..* reads a..* as in Java.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			break
		}
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			r, next, err := unicodeEscape(s, i)
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
			i = next
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}

// unicodeEscape reads the escape whose u is at i, and a second one when the two
// are the halves of one character. next is the last byte used.
func unicodeEscape(s string, i int) (r rune, next int, err error) {
	unit := func(at int) (rune, error) {
		if at+4 > len(s) {
			return 0, errBadEscape
		}
		n, err := strconv.ParseUint(s[at:at+4], 16, 16)
		if err != nil {
			return 0, errBadEscape
		}
		return rune(n), nil
	}
	if r, err = unit(i + 1); err != nil {
		return 0, 0, err
	}
	next = i + 4
	if r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(s[next+1:], `\u`) {
		if low, err := unit(next + 3); err == nil && low >= 0xDC00 && low < 0xE000 {
			return (r-0xD800)<<10 + (low - 0xDC00) + 0x10000, next + 6, nil
		}
	}
	return r, next, nil
}
