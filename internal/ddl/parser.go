package ddl

import (
	"bytes"
	"errors"
	"fmt"
)

// parser walks over one statement. tok is the token that comes next. After a
// failure there are no more tokens, so every loop over them ends.
type parser struct {
	lexer
	tok token
	err error
	// alien is set by what Canal's parser does not know. It has no effect on
	// reading the structures.
	alien   bool
	columns int // definitions read so far
}

func newParser(sql []byte, m Mode, canal bool) *parser {
	p := &parser{lexer: lexer{sql: sql, mode: m, canal: canal}}
	p.next()
	return p
}

var errUnterminated = errors.New("literal or comment without its end")

func (p *parser) next() {
	p.tok = p.scan()
	if p.tok.kind == bad {
		p.fail(errUnterminated)
	}
}

// fail keeps the first error, and ends the statement here.
func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
	p.noTokens = true
	p.tok = p.scan()
}

// unexpected fails with what stands here.
func (p *parser) unexpected(want string) {
	const shown = 40
	if p.tok.kind == end {
		p.fail(fmt.Errorf("%s expected at the end", want))
		return
	}
	s := p.sql[p.tok.from:min(p.tok.to, p.tok.from+shown)]
	p.fail(fmt.Errorf("%s expected at offset %d, found %q", want, p.tok.from, s))
}

// state is a place to go back to.
type state struct {
	lexer lexer
	tok   token
	err   error
}

func (p *parser) save() state { return state{p.lexer, p.tok, p.err} }

func (p *parser) restore(s state) { p.lexer, p.tok, p.err = s.lexer, s.tok, s.err }

// done tells whether the statement ends here.
func (p *parser) done() bool { return p.tok.kind == end || p.isMark(';') }

func (p *parser) bytes() []byte { return p.sql[p.tok.from:p.tok.to] }

func (p *parser) isMark(c byte) bool { return p.tok.kind == mark && p.sql[p.tok.from] == c }

// isWord tells whether one of the keywords comes next.
func (p *parser) isWord(words ...string) bool {
	if p.tok.kind != word {
		return false
	}
	for _, w := range words {
		if equalWord(p.bytes(), w) {
			return true
		}
	}
	return false
}

// equalWord compares with a keyword in capital letters.
func equalWord(b []byte, keyword string) bool {
	if len(b) != len(keyword) {
		return false
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != keyword[i] {
			return false
		}
	}
	return true
}

// accept steps over the keywords if they all come next.
func (p *parser) accept(words ...string) bool {
	if !p.isWord(words[0]) {
		return false
	}
	before := p.save()
	for _, w := range words {
		if !p.isWord(w) {
			p.restore(before)
			return false
		}
		p.next()
	}
	return true
}

// acceptOne steps over one of the keywords.
func (p *parser) acceptOne(words ...string) bool {
	if !p.isWord(words...) {
		return false
	}
	p.next()
	return true
}

func (p *parser) acceptMark(c byte) bool {
	if !p.isMark(c) {
		return false
	}
	p.next()
	return true
}

func (p *parser) expect(w string) {
	if !p.accept(w) {
		p.unexpected(w)
	}
}

// isName tells whether a name can stand here.
func (p *parser) isName() bool { return p.tok.kind == word || p.tok.kind == quoted }

// name reads a name as it is written.
func (p *parser) name() name {
	if !p.isName() {
		p.unexpected("name")
		return ""
	}
	if p.tok.to-p.tok.from > maxNameBytes {
		p.fail(fmt.Errorf("name of %d bytes at offset %d", p.tok.to-p.tok.from, p.tok.from))
		return ""
	}
	if p.tok.kind == word && bytes.ContainsFunc(p.bytes(), func(r rune) bool { return r > 0x7f }) {
		p.alien = true
	}
	n := name(p.bytes())
	p.next()
	return n
}

// table reads a table's name. Of more than two parts the last two count: the
// first is the catalog, of which there is one only.
func (p *parser) table() ref {
	r := ref{table: p.name()}
	for p.isMark('.') {
		before := p.save()
		p.next()
		if !p.isName() { // "t.*" of a DELETE
			p.restore(before)
			break
		}
		r = ref{schema: r.table, table: p.name()}
	}
	return r
}

// skipParens steps over what is in the parentheses that open here.
func (p *parser) skipParens() {
	for depth := 0; p.tok.kind != end; {
		switch {
		case p.isMark('('):
			depth++
		case p.isMark(')'):
			depth--
		}
		p.next()
		if depth == 0 {
			return
		}
	}
	p.unexpected(")")
}

// skipPart steps to the next comma or closing parenthesis that is not inside of
// parentheses opened on the way.
func (p *parser) skipPart() {
	for !p.done() {
		switch {
		case p.isMark('('):
			p.skipParens()
		case p.isMark(','), p.isMark(')'):
			return
		default:
			p.next()
		}
	}
}

// skipAll steps to the end of the statement.
func (p *parser) skipAll() {
	for !p.done() {
		p.next()
	}
}

// skipValue steps over "[=] value" of an option.
func (p *parser) skipValue() {
	p.acceptMark('=')
	if p.isMark('(') {
		p.skipParens()
		return
	}
	if !p.done() && !p.isMark(',') && !p.isMark(')') {
		p.next()
	}
}

// ifExists reads IF EXISTS, ifNotExists IF NOT EXISTS.
func (p *parser) ifExists() bool { return p.accept("IF", "EXISTS") }

func (p *parser) ifNotExists() bool { return p.accept("IF", "NOT", "EXISTS") }
