package ddl

import (
	"errors"
	"strconv"
	"strings"

	"github.com/canald/canald/internal/schema"
)

type place uint8

const (
	unplaced place = iota // at the end, or where the column is
	first
	after
)

// column is a definition of one.
type column struct {
	name     name
	typ      string // as Canal's clients get it
	unsigned bool
	primary  bool
	place    place
	after    name
}

var (
	errTooManyColumns = errors.New("more columns than a table can have")
	errLongType       = errors.New("type longer than a table can have")
)

// column reads a column's name and type.
func (p *parser) column() column {
	// An ALTER may drop as many columns as it adds.
	if p.columns++; p.columns > 2*maxColumns && !p.canal {
		p.fail(errTooManyColumns)
	}
	c := column{name: p.name()}
	p.columnType(&c)
	return c
}

// columnType reads the type: the name as written, "(" and the arguments with
// commas and no blanks ")", " unsigned", " zerofill".
func (p *parser) columnType(c *column) {
	if p.tok.kind != word {
		p.unexpected("type")
		return
	}
	words := []string{string(p.bytes())}
	p.next()
	if p.isMark('.') { // MariaDB's "mariadb_schema.date"
		p.next()
		words[0] = string(p.name())
		p.alien = true
	}
	more := func(w ...string) bool {
		if !p.isWord(w...) {
			return false
		}
		words = append(words, string(p.bytes()))
		p.next()
		return true
	}
	switch strings.ToUpper(words[0]) {
	case "DOUBLE":
		more("PRECISION")
	case "LONG":
		p.alien = more("VARCHAR", "VARBINARY", "CHAR", "CHARACTER") || p.alien
		more("VARYING")
	case "CHAR", "CHARACTER":
		more("VARYING")
	case "NATIONAL":
		more("CHAR", "CHARACTER", "VARCHAR", "VARCHARACTER")
		more("VARYING")
	case "NCHAR":
		p.alien = more("VARCHAR", "VARCHARACTER") || p.alien
		more("VARYING")
	case "SERIAL":
		c.unsigned = true
	}
	base := strings.Join(words, " ")
	args := p.typeArgs()
	c.typ = p.typeFlags(base, args)
	c.unsigned = c.unsigned || schema.Unsigned(c.typ)
}

// maxFloatDigits is how many bits of precision a FLOAT has; with more the
// servers make a DOUBLE.
const maxFloatDigits = 24

// typeFlags reads what belongs to the type behind its arguments, and makes its text.
func (p *parser) typeFlags(base, args string) string {
	zerofill, unsigned := false, false
	enum := strings.EqualFold(base, "ENUM") || strings.EqualFold(base, "SET")
	for {
		switch {
		case p.accept("UNSIGNED"):
			unsigned = true
		case p.accept("ZEROFILL"):
			zerofill = true
		case p.acceptOne("SIGNED", "ASCII", "UNICODE"):
		case p.accept("BINARY"):
			p.alien = p.alien || enum
		case p.accept("BYTE"):
			p.alien = true
			base = byteType(base)
		case p.accept("CHARACTER", "SET"), p.accept("CHAR", "SET"), p.accept("CHARSET"):
			if p.isWord("BINARY") {
				p.alien = p.alien || enum
				base = byteType(base)
			}
			p.next()
		default:
			if n, err := strconv.Atoi(strings.Trim(args, "()")); err == nil && n > maxFloatDigits && strings.EqualFold(base, "FLOAT") {
				base = "double"
			}
			text := base + args
			if unsigned || zerofill {
				text += " unsigned"
			}
			if zerofill {
				text += " zerofill"
			}
			return text
		}
	}
}

// byteType is the type that BYTE makes of a type of characters.
func byteType(base string) string {
	switch upper := strings.ToUpper(base); {
	case strings.HasSuffix(upper, "TEXT"):
		return base[:len(base)-len("TEXT")] + "blob"
	case upper == "CHAR" || upper == "CHARACTER":
		return "binary"
	case strings.Contains(upper, "VAR"):
		return "varbinary"
	}
	return base
}

// typeArgs reads "(a, b)" as "(a,b)".
func (p *parser) typeArgs() string {
	if !p.isMark('(') {
		return ""
	}
	var b strings.Builder
	for depth := 0; p.tok.kind != end; {
		switch {
		case p.isMark('('):
			depth++
		case p.isMark(')'):
			depth--
		}
		p.typeArg(&b)
		if b.Len() > maxTypeBytes {
			p.fail(errLongType)
			return ""
		}
		p.next()
		if depth == 0 {
			return b.String()
		}
	}
	p.unexpected(")")
	return ""
}

// typeArg writes one token. The members of an ENUM or SET are written as the
// server does it, in single quotes and without other escapes than it needs.
func (p *parser) typeArg(b *strings.Builder) {
	if p.canal { // its view of a statement needs no types
		return
	}
	s := string(p.bytes())
	if p.tok.kind != text {
		b.WriteString(s)
		return
	}
	v := unescape(s, !p.mode.NoBackslashEscapes)
	b.WriteString("'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(v) + "'")
}

// columnRest reads a column's attributes, and its place in an ALTER, up to the
// next comma or ")".
func (p *parser) columnRest(c *column) {
	valued := false // a DEFAULT or AUTO_INCREMENT was there
	for !p.done() && !p.isMark(',') && !p.isMark(')') && !p.isWord("PARTITION") {
		p.columnHint(valued)
		switch {
		case p.isMark('('):
			p.skipParens()
		case p.accept("DEFAULT"):
			valued = true
			p.skipDefault()
		case p.accept("AUTO_INCREMENT"):
			valued = true
		case p.accept("UNIQUE"):
			p.accept("KEY")
		case p.accept("PRIMARY"):
			p.accept("KEY")
			c.primary = true
		case p.accept("KEY"):
			c.primary = true
		case p.acceptOne("COMMENT", "COLLATE", "CONSTRAINT"), p.accept("CHARACTER", "SET"), p.accept("CHARSET"):
			if !p.isWord("CHECK") { // a constraint without a name
				p.next()
			}
		case p.accept("REFERENCES"):
			p.table()
		case p.accept("ON"):
			p.next() // UPDATE or DELETE
			if p.accept("SET") {
				p.next()
			}
		case p.accept("FIRST"):
			c.place = first
		case p.accept("AFTER"):
			c.place, c.after = after, p.name()
		case p.accept("AS", "ROW"), p.accept("WITH", "SYSTEM"), p.accept("WITHOUT", "SYSTEM"), p.accept("NOT", "ENFORCED"),
			p.acceptOne("INVISIBLE", "VISIBLE", "SRID", "REF_SYSTEM_ID", "COMPRESSED", "PERSISTENT"):
			p.alien = true
		default:
			p.next()
		}
	}
	p.columnHint(valued)
}

// columnHint notes an executable comment that Canal's parser does not get over.
func (p *parser) columnHint(valued bool) {
	p.alien = p.alien || len(p.tok.hint) > 0 && (valued || holds(p.tok.hint, "INVISIBLE"))
}

// skipDefault steps over a value; what is in parentheses is left to the caller.
func (p *parser) skipDefault() {
	switch {
	case p.accept("NEXT", "VALUE", "FOR"):
		p.table()
	case p.done(), p.isMark('('), p.isMark(','), p.isMark(')'):
	default:
		p.next()
	}
}
