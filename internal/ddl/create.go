package ddl

import "bytes"

// createBody reads what stands behind the name in a CREATE TABLE.
func (p *parser) createBody(s *statement) {
	p.wait()
	if p.acceptLike(s) {
		return
	}
	if p.isMark('(') {
		before := p.save()
		p.next()
		switch {
		case p.acceptLike(s):
			return
		case p.startsQuery(), p.isMark('('):
			p.restore(before)
			s.query = true
			return
		}
		p.elements(s)
	}
	p.tableOptions(s)
}

func (p *parser) acceptLike(s *statement) bool {
	if !p.accept("LIKE") {
		return false
	}
	r := p.table()
	s.like = &r
	return true
}

// startsQuery tells whether a SELECT or one of its kin begins here.
func (p *parser) startsQuery() bool { return p.isWord("SELECT", "VALUES", "TABLE", "WITH") }

// elements reads the columns, indexes and constraints up to and with the ")".
func (p *parser) elements(s *statement) {
	for {
		switch {
		case p.isWord("CONSTRAINT", "PRIMARY", "UNIQUE", "INDEX", "KEY", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK"):
			if keys := p.constraint(); keys != nil {
				s.keys = keys
			}
		case p.accept("PERIOD", "FOR"):
			p.alien = true
			s.period = s.period || p.isWord("SYSTEM_TIME")
			p.skipPart()
		case p.accept("VECTOR", "INDEX"), p.accept("VECTOR", "KEY"):
			p.alien = true
			p.skipPart()
		default:
			c := p.column()
			p.columnRest(&c)
			if p.err == nil && !p.canal { // Canal's view of it needs no columns
				s.columns = append(s.columns, c)
			}
		}
		if p.acceptMark(',') {
			continue
		}
		if !p.acceptMark(')') {
			p.unexpected(", or )")
		}
		return
	}
}

// constraint reads an index, a key or a check up to the next comma or ")". It
// returns the columns of a primary key.
func (p *parser) constraint() []name {
	p.constraintName()
	if p.accept("PRIMARY") {
		return p.primaryKey()
	}
	p.indexRest()
	return nil
}

// constraintName reads "CONSTRAINT [name]".
func (p *parser) constraintName() {
	if p.accept("CONSTRAINT") && !p.isWord("PRIMARY", "UNIQUE", "FOREIGN", "CHECK") {
		if p.ifNotExists() {
			p.alien = true
		}
		p.name()
	}
}

// primaryKey reads what stands behind PRIMARY in a constraint.
func (p *parser) primaryKey() []name {
	p.accept("KEY")
	for !p.done() && !p.isMark('(') {
		if p.ifNotExists() {
			p.alien = true
			continue
		}
		p.next()
	}
	if !p.acceptMark('(') {
		p.unexpected("(")
		return nil
	}
	keys := []name{}
	for {
		if len(keys) == maxColumns {
			p.fail(errTooManyColumns)
			return nil
		}
		keys = append(keys, p.name())
		p.skipPart() // a length, an order
		if !p.acceptMark(',') {
			break
		}
	}
	if !p.acceptMark(')') {
		p.unexpected(")")
		return nil
	}
	p.indexRest()
	return keys
}

// indexRest steps to the end of an index, a key or a check, and notes what
// Canal's parser does not know in it.
func (p *parser) indexRest() {
	depth, typed := 0, false // typed: what comes is no name of a column
	for !p.done() {
		switch {
		case p.isMark('('):
			depth++
		case p.isMark(')'):
			if depth == 0 {
				p.hintedIndex()
				return
			}
			depth--
		case p.isMark(',') && depth == 0:
			p.hintedIndex()
			return
		case depth > 0 && typed && p.isWord("ARRAY"), depth == 0 && p.isWord("IF"): // MariaDB's IF NOT EXISTS
			p.alien = true
		case depth == 0 && p.accept("NOT", "ENFORCED"):
			p.alien = true
			continue
		}
		typed = p.tok.kind == word || p.isMark(')')
		p.hintedIndex()
		p.next()
	}
	p.hintedIndex()
	if depth > 0 {
		p.unexpected(")")
	}
}

func (p *parser) hintedIndex() {
	p.alien = p.alien || holds(p.tok.hint, "INVISIBLE") || holds(p.tok.hint, "ENFORCED")
}

func holds(hint []byte, keyword string) bool {
	return len(hint) > 0 && bytes.Contains(bytes.ToUpper(hint), []byte(keyword))
}

// tableOption are the options that Canal's parser knows.
var tableOption = []string{
	"ENGINE", "TYPE", "AUTO_INCREMENT", "AVG_ROW_LENGTH", "CHECKSUM", "COMMENT", "COMPRESSION", "CONNECTION", "DELAY_KEY_WRITE",
	"ENCRYPTION", "INSERT_METHOD", "KEY_BLOCK_SIZE", "MAX_ROWS", "MIN_ROWS", "PACK_KEYS", "PASSWORD", "ROW_FORMAT",
	"STATS_AUTO_RECALC", "STATS_PERSISTENT", "STATS_SAMPLE_PAGES", "TABLESPACE", "STORAGE", "UNION",
}

// tableOptions reads what stands behind the elements of a CREATE TABLE, and
// finds out whether a query ends it.
func (p *parser) tableOptions(s *statement) {
	partitions := false
	for !p.done() {
		switch {
		case p.isMark('(') && partitions:
			p.skipParens()
		case p.isMark(')'):
			p.unexpected("table option")
		case p.accept("WITH", "SYSTEM", "VERSIONING"):
			p.alien, s.versioned = true, true
		case p.accept("WITHOUT", "SYSTEM", "VERSIONING"):
			p.alien = true
		case p.startsQuery(), p.isMark('('), p.isWord("AS", "IGNORE", "REPLACE"):
			s.query = true
			return
		case p.accept("START", "TRANSACTION"), p.acceptMark(','):
		case p.accept("PARTITION", "BY"):
			partitions = true
		case partitions:
			if p.isWord("SYSTEM_TIME") {
				p.alien = true
			}
			p.next()
		case p.option():
		default:
			p.alien = true
			p.next()
			if p.isMark('=') {
				p.skipValue()
			}
		}
	}
}

// option reads one table option that Canal's parser knows.
func (p *parser) option() bool {
	switch {
	case p.charsetOption():
	case p.accept("DATA", "DIRECTORY"), p.accept("INDEX", "DIRECTORY"):
		p.skipValue()
	case p.accept("SECONDARY_ENGINE"):
		p.acceptMark('=')
		p.alien = p.alien || p.isWord("NULL")
		p.skipValue()
	case p.acceptOne(tableOption...):
		p.skipValue()
	default:
		return false
	}
	return true
}

// charsetOption reads "[DEFAULT] CHARACTER SET x" or COLLATE x.
func (p *parser) charsetOption() bool {
	before := p.save()
	p.accept("DEFAULT")
	if p.accept("CHARACTER", "SET") || p.accept("CHAR", "SET") || p.acceptOne("CHARSET", "COLLATE") {
		p.skipValue()
		return true
	}
	p.restore(before)
	return false
}
