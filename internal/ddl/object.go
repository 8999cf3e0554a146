package ddl

import "errors"

// objects are the words that say what a CREATE, ALTER or DROP is about.
var objects = []string{
	"TABLE", "TABLES", "INDEX", "DATABASE", "SCHEMA", "SEQUENCE", "VIEW", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "USER",
	"ROLE", "SERVER", "TABLESPACE", "LOGFILE", "INSTANCE", "PACKAGE", "RESOURCE", "REFERENCE", "CATALOG", "LIBRARY", "PREPARE",
}

// strange are those of them that Canal's parser does not know.
var strange = []string{"PACKAGE", "RESOURCE", "REFERENCE", "CATALOG", "LIBRARY"}

// maxModifiers bounds the words between CREATE and what is created.
const maxModifiers = 16

var errNoObject = errors.New("not known what it creates, alters or drops")

// object reads up to and with the object's word, and returns that.
func (p *parser) object(s *statement) string {
	for range maxModifiers {
		for _, o := range objects {
			if p.accept(o) {
				return o
			}
		}
		switch {
		case p.accept("OR", "REPLACE"):
			s.orReplace = true
		case p.accept("TEMPORARY"):
			s.temporary = true
		case p.accept("ONLINE"), p.accept("OFFLINE"), p.accept("EXTERNAL"):
			p.alien = true
		case p.accept("DEFINER"):
			p.acceptMark('=')
			p.account()
		case p.accept("ALGORITHM"):
			p.skipValue()
		case p.accept("SQL", "SECURITY"):
			p.next()
		case p.tok.kind == word:
			p.next()
		default:
			p.fail(errNoObject)
			return ""
		}
	}
	p.fail(errNoObject)
	return ""
}

// account reads a user or role, or a function that says which.
func (p *parser) account() {
	p.next()
	if p.acceptMark('@') {
		p.next()
	}
	if p.isMark('(') {
		p.skipParens()
	}
}

func (p *parser) create(s *statement) {
	switch o := p.object(s); o {
	case "TABLE":
		s.verb = createTable
		p.alien = p.alien || s.orReplace
		s.ifNotExists = p.ifNotExists()
		s.tables = append(s.tables, p.table())
		p.createBody(s)
	case "INDEX":
		s.verb = createIndex
		p.alien = p.alien || s.orReplace
		if p.ifNotExists() {
			p.alien = true
		}
		p.name()
		for !p.done() && !p.isWord("ON") {
			p.next()
		}
		p.expect("ON")
		s.tables = append(s.tables, p.table())
		p.wait()
		p.indexRest()
	case "DATABASE", "SCHEMA":
		s.verb = createDatabase
		p.alien = p.alien || s.orReplace
		s.ifNotExists = p.ifNotExists()
		s.tables = append(s.tables, ref{table: p.name()})
	case "SEQUENCE":
		s.verb = createSequence
		s.ifNotExists = p.ifNotExists()
		s.tables = append(s.tables, p.table())
	default:
		p.plain(s, o)
	}
}

// plain is a statement about an object that is no table.
func (p *parser) plain(s *statement, object string) {
	if object == "" {
		return
	}
	s.verb = other
	for _, o := range strange {
		if p.canal && o == object {
			s.verb = unknown
		}
	}
}

func (p *parser) drop(s *statement) {
	switch o := p.object(s); o {
	case "TABLE", "TABLES":
		s.verb = dropTable
		s.ifExists = p.ifExists()
		p.tableList(s)
	case "INDEX":
		s.verb = dropIndex
		if p.ifExists() {
			p.alien = true
		}
		s.index = p.name()
		p.expect("ON")
		s.tables = append(s.tables, p.table())
		p.wait()
	case "DATABASE", "SCHEMA":
		s.verb = dropDatabase
		s.ifExists = p.ifExists()
		s.tables = append(s.tables, ref{table: p.name()})
	case "SEQUENCE":
		s.verb = dropSequence
		s.ifExists = p.ifExists()
		if p.canal {
			return
		}
		p.tableList(s)
	default:
		p.plain(s, o)
	}
}

func (p *parser) alter(s *statement) {
	switch o := p.object(s); o {
	case "TABLE":
		s.verb = alterTable
		s.ifExists = p.ifExists()
		s.tables = append(s.tables, p.table())
		p.wait()
		p.alterBody(s)
	case "SEQUENCE":
		s.verb = alterSequence
		s.ifExists = p.ifExists()
		s.tables = append(s.tables, p.table())
	default:
		p.plain(s, o)
	}
}
