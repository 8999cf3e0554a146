package ddl

import "errors"

type verb uint8

const (
	unknown verb = iota // no statement that is known here
	other               // known, changes no structure, and nothing for Canal's clients
	createTable
	alterTable
	dropTable
	truncateTable
	renameTable
	createIndex
	dropIndex
	insertRows
	updateRows
	deleteRows
	createDatabase
	dropDatabase
	createSequence
	alterSequence
	dropSequence
)

// statement is what was found in one.
type statement struct {
	verb verb
	// temporary, orReplace, ifNotExists and ifExists are the words of a CREATE, ALTER or DROP.
	temporary, orReplace, ifNotExists, ifExists bool
	// tables are the table, a DROP's tables, or of a RENAME the old and the new
	// names in turn; of a database its name is the table's.
	tables []ref
	like   *ref // CREATE TABLE … LIKE
	query  bool // CREATE TABLE … SELECT
	// versioned and period are WITH SYSTEM VERSIONING of a CREATE TABLE, and that
	// its columns for it are declared.
	versioned, period bool
	columns           []column
	keys              []name // of the PRIMARY KEY of a CREATE TABLE
	clauses           []clause
	index             name // of DROP INDEX
}

// parse reads one statement. What stands behind a semicolon is left alone.
func (p *parser) parse() statement {
	s := statement{}
	if !p.canal && p.accept("SET", "STATEMENT") { // MariaDB: settings for the one statement behind FOR
		for !p.done() && !p.isWord("FOR") {
			p.next()
		}
		p.expect("FOR")
	}
	switch {
	case p.isMark('('), p.done():
		s.verb = other
	case p.accept("CREATE"):
		p.create(&s)
	case p.accept("ALTER"):
		p.alter(&s)
	case p.accept("DROP"):
		p.drop(&s)
	case p.accept("TRUNCATE"):
		s.verb = truncateTable
		p.accept("TABLE")
		p.tableList(&s)
	case p.accept("RENAME"):
		p.rename(&s)
	case p.accept("INSERT"):
		s.verb = insertRows
		for p.acceptOne("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO") {
		}
		s.tables = append(s.tables, p.table())
	case p.accept("UPDATE"):
		s.verb = updateRows
		p.update(&s)
	case p.accept("DELETE"):
		s.verb = deleteRows
		p.delete(&s)
	case p.accept("WITH"):
		p.with(&s)
	case p.accept("SET", "STATEMENT"): // Canal's parser does not know it
	case p.isWord(plainStatements...), !p.canal && p.isWord(plainToServer...):
		s.verb = other
	}
	return s
}

// plainStatements are the first words of what changes no structure and what
// Canal's parser knows, plainToServer of what it does not know.
var (
	plainStatements = []string{
		"SELECT", "GRANT", "REVOKE", "SET", "FLUSH", "ANALYZE", "OPTIMIZE", "CHECK", "CHECKSUM", "LOCK", "UNLOCK", "SAVEPOINT",
		"ROLLBACK", "RELEASE", "CALL", "USE", "LOAD", "REPLACE", "COMMIT", "BEGIN", "START", "XA", "SHOW", "EXPLAIN", "DESC",
		"DESCRIBE", "KILL", "PREPARE", "EXECUTE", "DEALLOCATE", "HELP", "DO",
	}
	plainToServer = []string{
		"REPAIR", "INSTALL", "UNINSTALL", "HANDLER", "PURGE", "RESET", "CHANGE", "STOP", "CACHE", "SIGNAL", "RESIGNAL", "BACKUP",
		"RESTART", "SHUTDOWN", "CLONE", "BINLOG", "VALUES", "TABLE", "MERGE", "GET",
	}
)

// with decides by what follows the common table expressions.
func (p *parser) with(s *statement) {
	if !p.canal {
		s.verb = other
		return
	}
	for !p.done() {
		switch {
		case p.isMark('('):
			p.skipParens()
		case p.isWord("SELECT"):
			s.verb = other
			return
		case p.isWord("UPDATE", "DELETE", "INSERT", "REPLACE"):
			return
		default:
			p.next()
		}
	}
}

func (p *parser) update(s *statement) {
	for p.acceptOne("LOW_PRIORITY", "IGNORE") {
	}
	for p.acceptMark('(') {
	}
	if !p.isWord("SELECT") {
		s.tables = append(s.tables, p.table())
	}
}

// delete finds the table of a DELETE; one with several has none for Canal.
func (p *parser) delete(s *statement) {
	for p.acceptOne("LOW_PRIORITY", "QUICK", "IGNORE") {
	}
	p.accept("FROM")
	r := p.table()
	if p.acceptMark('.') {
		p.acceptMark('*')
	}
	if !p.isMark(',') {
		s.tables = append(s.tables, r)
	}
}

var errTooMany = errors.New("more tables than a statement can have")

// tableList reads names with commas between them.
func (p *parser) tableList(s *statement) {
	for {
		if len(s.tables) == maxParts {
			p.fail(errTooMany)
			return
		}
		s.tables = append(s.tables, p.table())
		if !p.acceptMark(',') {
			break
		}
	}
	p.acceptOne("RESTRICT", "CASCADE")
	p.wait()
	p.last()
}

// wait reads MariaDB's WAIT n and NOWAIT.
func (p *parser) wait() {
	switch {
	case p.accept("WAIT"):
		p.alien = true
		p.next()
	case p.accept("NOWAIT"):
		p.alien = true
	}
}

// last fails when the statement goes on.
func (p *parser) last() {
	if !p.done() {
		p.unexpected("the end")
	}
}

func (p *parser) rename(s *statement) {
	switch {
	case p.accept("USER"):
		if !p.canal {
			s.verb = other
		}
		return
	case p.accept("TABLES"):
		p.alien = true
	default:
		p.expect("TABLE")
	}
	s.verb = renameTable
	if s.ifExists = p.ifExists(); s.ifExists {
		p.alien = true
	}
	for {
		if len(s.tables) >= 2*maxParts {
			p.fail(errTooMany)
			return
		}
		from := p.table()
		p.wait()
		p.expect("TO")
		to := p.table()
		if p.err != nil {
			return
		}
		s.tables = append(s.tables, from, to)
		if !p.acceptMark(',') {
			p.last()
			return
		}
	}
}
