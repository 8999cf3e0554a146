package ddl

type op uint8

const (
	alterOther   op = iota // changes no column
	alterNothing           // not seen by Canal's clients either
	addColumns
	dropColumn
	changeColumn // MODIFY too
	renameColumn
	renameTo
	addPrimary
	dropPrimary
	addIndex
	dropKey // an index, a foreign key or a constraint by name
	tableOptionClause
	convertCharset
	partitionToTable
	tableToPartition
	addVersioning
	addPeriod // of the row's system time, with columns that are declared
	dropVersioning
)

// clause is one of the things that an ALTER TABLE does.
type clause struct {
	op                    op
	ifExists, ifNotExists bool
	columns               []column // of addColumns and changeColumn
	name                  name     // the old name of a column, the name of a key, a character set
	newName               name     // of renameColumn
	keys                  []name   // of addPrimary
	table                 ref      // of renameTo, partitionToTable, tableToPartition
}

// alterBody reads the clauses of an ALTER TABLE.
func (p *parser) alterBody(s *statement) {
	for !p.done() {
		if p.acceptMark(',') {
			continue
		}
		if len(s.clauses) == maxParts {
			p.fail(errTooMany)
			return
		}
		at := p.tok.from
		c := p.clause()
		if p.err != nil {
			return
		}
		if p.canal {
			c.columns, c.keys = nil, nil
		}
		s.clauses = append(s.clauses, c)
		if p.tok.from == at {
			p.unexpected("clause")
		}
	}
}

func (p *parser) clause() clause {
	switch {
	case p.accept("ADD"):
		return p.add()
	case p.accept("DROP"):
		return p.dropClause()
	case p.accept("MODIFY"):
		c := clause{op: changeColumn}
		p.accept("COLUMN")
		c.ifExists = p.alienIfExists()
		d := p.column()
		p.columnRest(&d)
		c.name, c.columns = d.name, []column{d}
		return c
	case p.accept("CHANGE"):
		c := clause{op: changeColumn}
		p.accept("COLUMN")
		c.ifExists = p.alienIfExists()
		c.name = p.name()
		d := p.column()
		p.columnRest(&d)
		c.columns = []column{d}
		return c
	case p.accept("RENAME"):
		return p.renameClause()
	case p.accept("CONVERT"):
		return p.convert()
	case p.accept("REMOVE", "PARTITIONING"):
		return clause{op: alterNothing}
	case p.accept("ORDER", "BY"), p.accept("PARTITION", "BY"):
		p.skipAll() // commas in it part no clauses
		return clause{}
	case p.acceptOne("TRUNCATE", "COALESCE", "REORGANIZE", "EXCHANGE", "ANALYZE", "CHECK", "OPTIMIZE", "REBUILD", "REPAIR"):
		p.skipAll() // PARTITION p0, p1
		return clause{}
	case p.acceptOne("DISCARD", "IMPORT"):
		if p.isWord("PARTITION") {
			p.skipAll()
		}
		p.skipPart()
		return clause{}
	case p.acceptOne("ALTER", "ENABLE", "DISABLE", "FORCE", "WITH", "WITHOUT", "UPGRADE", "SECONDARY_LOAD", "SECONDARY_UNLOAD"):
		p.skipPart()
		return clause{}
	case p.acceptOne("ALGORITHM", "LOCK"):
		p.skipValue()
		return clause{}
	case p.charsetOption():
		return clause{}
	case p.option():
		return clause{op: tableOptionClause}
	}
	p.alien = true
	if !p.isName() {
		p.unexpected("clause")
		return clause{}
	}
	p.next()
	p.skipPart()
	return clause{}
}

// alienIfExists reads MariaDB's IF EXISTS in a clause.
func (p *parser) alienIfExists() bool {
	exists := p.ifExists()
	p.alien = p.alien || exists
	return exists
}

func (p *parser) alienIfNotExists() bool {
	exists := p.ifNotExists()
	p.alien = p.alien || exists
	return exists
}

func (p *parser) add() clause {
	switch {
	case p.accept("COLUMN"):
		return p.addColumns()
	case p.isWord("CONSTRAINT", "PRIMARY", "UNIQUE", "INDEX", "KEY", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK"):
		return p.addConstraint()
	case p.accept("VECTOR", "INDEX"), p.accept("VECTOR", "KEY"):
		p.alien = true
		p.indexRest()
		return clause{op: addIndex}
	case p.accept("PARTITION"):
		p.skipAll()
		return clause{}
	case p.accept("PERIOD", "FOR"):
		return p.versioning(addPeriod)
	case p.accept("SYSTEM", "VERSIONING"):
		return p.versioning(addVersioning)
	}
	return p.addColumns()
}

// versioning is a clause about MariaDB's periods and versions of rows.
func (p *parser) versioning(what op) clause {
	p.alien = true
	if what == addPeriod && !p.isWord("SYSTEM_TIME") {
		what = alterOther
	}
	p.skipPart()
	return clause{op: what}
}

func (p *parser) addColumns() clause {
	c := clause{op: addColumns, ifNotExists: p.alienIfNotExists()}
	if !p.acceptMark('(') {
		d := p.column()
		p.columnRest(&d)
		c.columns = []column{d}
		return c
	}
	var s statement
	p.elements(&s)
	c.columns, c.keys = s.columns, s.keys
	return c
}

func (p *parser) addConstraint() clause {
	p.constraintName()
	switch {
	case p.accept("PRIMARY"):
		p.accept("KEY")
		c := clause{op: addPrimary, ifNotExists: p.alienIfNotExists()}
		c.keys = p.primaryKey()
		return c
	case p.isWord("FOREIGN", "CHECK"):
		p.indexRest()
		return clause{op: alterNothing}
	}
	p.indexRest()
	return clause{op: addIndex}
}

func (p *parser) dropClause() clause {
	c := clause{op: dropKey}
	switch {
	case p.accept("PRIMARY"):
		c.op = dropPrimary
		p.accept("KEY")
		return c
	case p.accept("FOREIGN", "KEY"), p.acceptOne("INDEX", "KEY", "CONSTRAINT"):
	case p.accept("CHECK"):
		c.op = alterOther
	case p.accept("PARTITION"):
		p.skipAll()
		return clause{}
	case p.accept("PERIOD", "FOR"):
		return p.versioning(alterOther)
	case p.accept("SYSTEM", "VERSIONING"):
		return p.versioning(dropVersioning)
	default:
		c.op = dropColumn
		p.accept("COLUMN")
	}
	c.ifExists = p.alienIfExists()
	c.name = p.name()
	p.acceptOne("RESTRICT", "CASCADE")
	return c
}

func (p *parser) renameClause() clause {
	switch {
	case p.accept("COLUMN"):
		c := clause{op: renameColumn, ifExists: p.alienIfExists()}
		c.name = p.name()
		p.expect("TO")
		c.newName = p.name()
		return c
	case p.acceptOne("INDEX", "KEY"):
		p.alienIfExists()
		p.skipPart()
		return clause{}
	}
	if !p.acceptOne("TO", "AS") {
		p.acceptMark('=')
	}
	return clause{op: renameTo, table: p.table()}
}

// convert reads CONVERT TO CHARACTER SET, and MariaDB's CONVERT PARTITION and
// CONVERT TABLE.
func (p *parser) convert() clause {
	switch {
	case p.accept("PARTITION"):
		p.alien = true
		c := clause{op: partitionToTable}
		p.name()
		p.expect("TO")
		p.expect("TABLE")
		c.table = p.table()
		p.skipAll()
		return c
	case p.accept("TABLE"):
		p.alien = true
		c := clause{op: tableToPartition, table: p.table()}
		p.skipAll()
		return c
	}
	p.expect("TO")
	c := clause{op: convertCharset}
	if p.accept("CHARACTER", "SET") || p.accept("CHAR", "SET") || p.accept("CHARSET") {
		p.acceptMark('=')
		switch p.tok.kind {
		case text:
			c.name = name(unescape(string(p.bytes()), false))
			p.next()
		default:
			c.name = p.name()
		}
	}
	p.skipPart()
	return c
}
