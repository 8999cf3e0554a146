package tail

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/canald/canald/client/canalpb"
)

// kind is how a column's value is written.
type kind int

const (
	kindText   kind = iota
	kindNumber      // the text is a number
	kindFloat       // a number of single precision, which its decimal text only comes near to
	kindBytes
	kindMember // of an ENUM or SET, carried as an index or a mask
	kindJSON
)

// sqlBlob is java.sql.Types.BLOB: the value's bytes are carried as ISO-8859-1.
const sqlBlob = 2004

// columnName is the column's real name: Canal leaves quotes in it doubled.
func columnName(c *canalpb.Column) string { return strings.ReplaceAll(c.GetName(), "``", "`") }

// typeName is the first word of a column's type, in lower case.
func typeName(c *canalpb.Column) string {
	t := c.GetMysqlType()
	if i := strings.IndexAny(t, "( "); i >= 0 {
		t = t[:i]
	}
	return strings.ToLower(t)
}

func kindOf(c *canalpb.Column) kind {
	switch typeName(c) {
	case "tinyblob", "blob", "mediumblob", "longblob", "binary", "varbinary", "geometry", "point", "linestring", "polygon",
		"multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection", "vector":
		return kindBytes
	case "tinyint", "smallint", "mediumint", "int", "integer", "bigint", "decimal", "numeric", "double", "real", "year", "bit":
		if isNumber(c.GetValue()) {
			return kindNumber
		}
		return kindText // a year 0000
	case "float":
		if isNumber(c.GetValue()) {
			return kindFloat
		}
		return kindText
	case "enum", "set":
		if _, err := strconv.ParseUint(c.GetValue(), 10, 64); err == nil {
			return kindMember
		}
		return kindText
	case "json":
		return kindJSON
	}
	if c.GetSqlType() == sqlBlob {
		return kindBytes
	}
	return kindText
}

func isNumber(s string) bool {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	// A document may have blanks and line ends around it; a number may not.
	return s != "" && (s[0] == '-' || digit(s[0])) && digit(s[len(s)-1]) && json.Valid([]byte(s))
}

// raw is the bytes of a value. The binlog leaves out the zeros at the end of a
// BINARY(n); they are part of the value.
func raw(c *canalpb.Column) []byte {
	out := latin1(c.GetValue())
	if typeName(c) != "binary" {
		return out
	}
	const longest = 255
	_, size, _ := strings.Cut(c.GetMysqlType(), "(")
	size, _, _ = strings.Cut(size, ")")
	if n, err := strconv.Atoi(size); err == nil && n > len(out) && n <= longest {
		out = append(out, bytes.Repeat([]byte{0}, n-len(out))...)
	}
	return out
}

// latin1 is the bytes that ISO-8859-1 carries.
func latin1(s string) []byte {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > unicode.MaxLatin1 { // not bytes after all
			return []byte(s)
		}
		out = append(out, byte(r))
	}
	return out
}

// text is the value of a text, a member or a JSON column.
func text(c *canalpb.Column) string {
	switch kindOf(c) {
	case kindMember:
		if s, ok := member(c); ok {
			return s
		}
	case kindJSON: // MariaDB's is a text that may be carried as bytes
		if b := latin1(c.GetValue()); c.GetSqlType() == sqlBlob && utf8.Valid(b) {
			return string(b)
		}
	default: // as it is
	}
	return c.GetValue()
}

// member is the name of an ENUM's index, or the names of a SET's mask.
func member(c *canalpb.Column) (string, bool) {
	n, err := strconv.ParseUint(c.GetValue(), 10, 64)
	if err != nil {
		return "", false
	}
	names, ok := members(c.GetMysqlType())
	if !ok {
		return "", false
	}
	if typeName(c) == "enum" {
		switch {
		case n == 0: // what was no member when it was written
			return "", true
		case n > uint64(len(names)):
			return "", false
		}
		return names[n-1], true
	}
	var list []string
	for i, name := range names {
		if i < 64 && n&(1<<i) != 0 {
			list = append(list, name)
			n &^= 1 << i
		}
	}
	return strings.Join(list, ","), n == 0
}

// members reads the names in the type of an ENUM or SET; a quote in one is doubled.
func members(mysqlType string) (names []string, ok bool) {
	_, rest, _ := strings.Cut(mysqlType, "(")
	for {
		if rest = strings.TrimLeft(rest, " "); rest == "" || rest[0] != '\'' {
			return nil, false
		}
		var name strings.Builder
		rest = rest[1:]
		for {
			end := strings.IndexByte(rest, '\'')
			if end < 0 {
				return nil, false
			}
			name.WriteString(rest[:end])
			rest = rest[end+1:]
			if !strings.HasPrefix(rest, "'") {
				break
			}
			name.WriteByte('\'')
			rest = rest[1:]
		}
		names = append(names, name.String())
		rest = strings.TrimLeft(rest, " ")
		if strings.HasPrefix(rest, ")") {
			return names, true
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return nil, false
		}
	}
}

// moves tells whether a rune does something to a terminal rather than to be seen.
func moves(r rune) bool { return !unicode.IsPrint(r) }

// printable escapes what would move a terminal and cuts what is too long; 0 cuts nothing.
func printable(s string, most int) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if most > 0 && n == most {
			b.WriteRune('…')
			break
		}
		n++
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r > 0xffff && moves(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		case moves(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hexText(b []byte, most int) string {
	if most > 0 && 2*len(b) > most {
		return "0x" + hex.EncodeToString(b[:most/2]) + "…"
	}
	return "0x" + hex.EncodeToString(b)
}
