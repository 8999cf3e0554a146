package truth

import (
	"fmt"
	"math/rand/v2"
	"strings"

	mysql "github.com/go-mysql-org/go-mysql/client"
)

// source gives the lines of a script, a few at a time; it sees the tables as they
// are. No lines end the script.
type source func(now snapshot) []line

// fixed is a source of lines that are known.
func fixed(lines []line) source {
	given := false
	return func(snapshot) []line {
		if given {
			return nil
		}
		given = true
		return lines
	}
}

// run executes a script in databases of its own and compares what canald tells
// with what the databases hold. It returns the lines that were executed.
func (w *world) run(schemas []string, settings []string, next source) (script []line, f *failure) {
	w.t.Helper()
	w.random = rand.New(rand.NewPCG(1, 1))
	if !w.running || w.paused {
		_ = w.act(actionResume)
		_ = w.act(actionStart)
	}
	for _, s := range schemas {
		w.must("DROP DATABASE IF EXISTS " + backQuote(s))
		w.must("CREATE DATABASE " + backQuote(s) + " CHARACTER SET utf8mb4")
	}
	for _, s := range settings {
		w.must(s)
	}
	if f := w.drain(w.mark()); f != nil {
		return nil, f
	}
	w.stream = w.stream[max(0, len(w.stream)-keptEntries):]
	w.base = len(w.stream)
	session, err := w.s.Conn(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer session.Close()
	x := &execution{w: w, session: session, schemas: schemas, state: snapshot{}}
	x.plain("SET NAMES utf8mb4")
	x.plain("SET SESSION time_zone='+00:00', sql_mode=''")
	x.plain("USE " + backQuote(schemas[0]))
	x.sync()
	for lines := next(x.state); len(lines) > 0; lines = next(x.state) {
		for _, l := range lines {
			script = append(script, l)
			if f := x.execute(l); f != nil {
				return script, f
			}
		}
	}
	if f := x.execute(line{"COMMIT", dml}); f != nil {
		return script, f
	}
	end := x.look()
	_ = w.act(actionResume)
	_ = w.act(actionStart)
	if f := w.drain(w.mark()); f != nil {
		return script, f
	}
	w.counts.entries += len(w.stream) - w.base
	for _, u := range x.units {
		if u.ddl {
			w.counts.structures++
		} else {
			w.counts.transactions++
		}
	}
	return script, check(x.units, end, w.stream[w.base:], w.s.MySQL())
}

// execution is a script under way.
type execution struct {
	w       *world
	session *mysql.Conn
	schemas []string
	units   []unit
	at      place    // the end of the last unit
	open    []string // statements of the transaction that is open
	state   snapshot // as of the last look
	stale   bool     // rows have changed since
	latin1  bool     // the session's character set, rather than UTF-8
}

func (x *execution) plain(sql string) {
	x.w.t.Helper()
	if _, err := x.session.Execute(sql); err != nil {
		x.w.t.Fatalf("%s: %v", sql, err)
	}
}

// sync notes where the binlog ends.
func (x *execution) sync() {
	x.w.t.Helper()
	at, err := x.w.position()
	if err != nil {
		x.w.t.Fatal(err)
	}
	x.at = at
}

// look reads all tables, unless nothing has changed.
func (x *execution) look() snapshot {
	x.w.t.Helper()
	s, err := takeSnapshot(x.w.look, x.schemas)
	if err != nil {
		x.w.t.Fatal(err)
	}
	x.state, x.stale = s, false
	return s
}

func (x *execution) execute(l line) *failure {
	x.w.t.Helper()
	switch l.kind {
	case action:
		x.closeUnit() // a BEGIN may have ended one
		f := x.w.act(l.sql)
		x.sync() // behind the mark
		return f
	case dml:
		x.statement(l.sql)
	case ddl, quiet:
		x.statement("COMMIT")
		before := x.state
		if x.stale {
			before = x.look()
		}
		from := x.at
		// What fails may still have done a part, and be in the binlog.
		err := x.try(l.sql)
		x.sync()
		x.units = append(x.units, unit{from: from, to: x.at, sql: l.sql, ddl: true, quiet: l.kind == quiet || err != nil, before: before, after: x.look()})
	}
	return nil
}

// statement executes what changes rows, and ends the unit with the transaction.
func (x *execution) statement(sql string) {
	x.w.t.Helper()
	if err := x.try(sql); err == nil {
		x.open = append(x.open, sql)
	}
	if x.session.IsInTransaction() {
		return
	}
	x.closeUnit()
	x.open = nil
}

// closeUnit makes a unit of what has come to the binlog since the last one.
func (x *execution) closeUnit() {
	x.w.t.Helper()
	from := x.at
	if x.sync(); from != x.at {
		x.stale = true
		x.units = append(x.units, unit{from: from, to: x.at, sql: strings.Join(x.open, "; ")})
	}
}

// try executes; what the server refuses has no effect here either. A session that
// is lost fails the test.
func (x *execution) try(sql string) error {
	x.w.t.Helper()
	switch sql {
	case "SET NAMES latin1":
		x.latin1 = true
	case "SET NAMES utf8mb4":
		x.latin1 = false
	}
	sent := sql
	if x.latin1 {
		var fits bool
		if sent, fits = latin1(sql); !fits {
			x.plain("SET NAMES utf8mb4")
			defer x.plain("SET NAMES latin1")
		}
	}
	r, err := x.session.Execute(sent)
	if r != nil {
		r.Close()
	}
	x.w.counts.statements++
	if err != nil {
		x.w.counts.refused++
	}
	if err != nil && x.session.Ping() != nil {
		x.w.t.Fatalf("%s: %v", sql, err)
	}
	if err != nil && verbose {
		x.w.t.Logf("%.200s: %v", sql, err)
	}
	return err
}

// latin1 encodes a statement as a client with that character set does, if it can.
func latin1(sql string) (encoded string, ok bool) {
	b := make([]byte, 0, len(sql))
	for _, r := range sql {
		if r > 0xff || r >= 0x80 && r < 0xa0 {
			return sql, false
		}
		b = append(b, byte(r))
	}
	return string(b), true
}

// reduce finds a small part of a script that fails the same way, within a time.
func (w *world) reduce(schemas, settings []string, script []line, f *failure, enough func() bool) ([]line, *failure) {
	w.t.Helper()
	w.quiet = reduceQuietLimit
	defer func() { w.quiet = quietLimit }()
	fails := func(part []line) *failure {
		if strings.HasPrefix(f.class, "canald stops") {
			w.begin()
		}
		_, g := w.run(schemas, settings, fixed(part))
		if g != nil && g.class != f.class {
			if strings.HasPrefix(g.class, "canald stops") {
				w.begin()
			}
			return nil
		}
		return g
	}
	// A canald that is late for all of it fails always, or has another reason.
	late := []line{{actionPause, action}}
	for _, l := range script {
		if l.kind != action {
			late = append(late, l)
		}
	}
	if g := fails(late); g != nil {
		script, f = late, g
	}
	for size := (len(script) + 1) / 2; size > 0; {
		shorter := false
		for from := 0; from < len(script) && !enough(); {
			to := min(from+size, len(script))
			part := append(append([]line(nil), script[:from]...), script[to:]...)
			if g := fails(part); g != nil {
				script, f, shorter = part, g, true
			} else {
				from = to
			}
		}
		if enough() || size == 1 && !shorter {
			break
		}
		if size > 1 {
			size /= 2
		}
	}
	for i, l := range script {
		// A row or two tell as much as many.
		if shorter := fewerRows(l.sql); l.kind == dml && shorter != l.sql && !enough() {
			part := append([]line(nil), script...)
			part[i].sql = shorter
			if g := fails(part); g != nil {
				script, f = part, g
			}
		}
	}
	return script, f
}

// fewerRows leaves one row of an INSERT with many.
func fewerRows(sql string) string {
	begin := strings.Index(sql, " VALUES (")
	if begin < 0 {
		return sql
	}
	quoted := false
	for i := begin; i+2 < len(sql); i++ {
		switch {
		case sql[i] == '\'':
			quoted = !quoted
		case !quoted && sql[i:i+3] == "),(":
			return sql[:i+1]
		}
	}
	return sql
}

// listing writes a script for people.
func listing(settings []string, script []line) string {
	var b strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&b, "\t%s;\n", s)
	}
	const most = 60
	for i, l := range script {
		if i == most {
			fmt.Fprintf(&b, "\t… and %d lines more\n", len(script)-most)
			break
		}
		if l.kind == action {
			fmt.Fprintf(&b, "\t%s\n", l.sql)
		} else {
			fmt.Fprintf(&b, "\t%s;\n", shorten(l.sql))
		}
	}
	return b.String()
}

func shorten(s string) string {
	const most = 400
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
