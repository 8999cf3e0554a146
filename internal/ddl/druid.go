package ddl

// Druid says what Canal's default parser (canal.instance.filter.druid.ddl=true)
// makes of a statement. No result means that its clients see no entry; a single
// Query without names that it could not parse the statement.
//
// It knows what that parser is known to reject and takes everything else for
// correct, as it has passed the source's own parser. A name of three parts, on
// which Canal stops for ever, is read as its last two.
func Druid(sql []byte, m Mode) []Result {
	p := newParser(sql, m, true)
	s := p.parse()
	if s.verb == other && p.err == nil {
		return nil
	}
	if p.err != nil || s.verb == unknown || p.alien || p.escaped {
		return []Result{{Kind: Query}}
	}
	return s.druid(m)
}

// Named says what a statement does by this package's own reading of it, in
// Canal's form. No result means that it could not be read, or does nothing to a table.
func Named(sql []byte, m Mode) []Result {
	p := newParser(sql, m, false)
	s := p.parse()
	if p.err != nil || s.verb == unknown || s.verb == other {
		return nil
	}
	return s.druid(m)
}

// Loaded is the table that a LOAD DATA or LOAD XML fills; ok is false for any
// other statement.
func Loaded(sql []byte, m Mode) (_ Result, ok bool) {
	p := newParser(sql, m, false)
	if !p.accept("LOAD") {
		return Result{}, false
	}
	for !p.done() && !p.accept("INTO", "TABLE") {
		p.next()
	}
	if p.done() {
		return Result{}, false
	}
	t := p.table()
	return m.result(Insert, t), p.err == nil
}

// Unquoted is a name without the quotes that it is written in, if any.
func Unquoted(s string) string { return name(s).real() }

// plainKinds are those of statements that do one thing to each of their tables.
var plainKinds = map[verb]Kind{
	createTable: Create, dropTable: Erase, truncateTable: Truncate, createIndex: CreateIndex, dropIndex: DropIndex,
	insertRows: Insert, updateRows: Update, deleteRows: Delete,
}

func (s *statement) druid(m Mode) []Result {
	switch s.verb {
	case alterTable:
		return s.druidAlter(m)
	case renameTable:
		var results []Result
		for i := 0; i+1 < len(s.tables); i += 2 {
			results = append(results, m.renamed(s.tables[i], s.tables[i+1]))
		}
		return results
	case createDatabase, dropDatabase:
		return []Result{{Kind: Query, Schema: string(s.tables[0].table), HasSchema: true}}
	case createSequence, alterSequence, dropSequence:
		return nil
	default:
	}
	kind := plainKinds[s.verb]
	if len(s.tables) == 0 {
		return []Result{{Kind: kind}}
	}
	results := make([]Result, 0, len(s.tables))
	for _, t := range s.tables {
		results = append(results, m.result(kind, t))
	}
	return results
}

// druidAlter gives a result for each clause that Canal tells of. All options of
// the table together are one, and it comes before the others.
func (s *statement) druidAlter(m Mode) []Result {
	var results []Result
	t := s.tables[0]
	for _, c := range s.clauses {
		if c.op == tableOptionClause {
			results = append(results, m.result(Alter, t))
			break
		}
	}
	for _, c := range s.clauses {
		switch c.op {
		case tableOptionClause, alterNothing:
		case renameTo:
			results = append(results, m.renamed(t, c.table))
		case addIndex, addPrimary:
			results = append(results, m.result(CreateIndex, t))
		case dropKey:
			results = append(results, m.result(DropIndex, t))
		default:
			results = append(results, m.result(Alter, t))
		}
	}
	return results
}

// names are those of a table as Canal has them.
func (m Mode) names(t ref) (schema, table string) {
	if t.schema == "" {
		return m.Schema, t.table.druid()
	}
	return t.schema.druid(), t.table.druid()
}

func (m Mode) result(k Kind, t ref) Result {
	schema, table := m.names(t)
	return Result{Kind: k, Schema: schema, Table: table, HasSchema: true, HasTable: true}
}

func (m Mode) renamed(from, to ref) Result {
	r := m.result(Rename, to)
	r.FromSchema, r.FromTable = m.names(from)
	return r
}
