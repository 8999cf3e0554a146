package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/test/harness"
)

// scene is a schema of a test's own on a shared server. Its destination has the
// schema's name and sees nothing else. Table mark in it tells the test how far
// the client has read.
type scene struct {
	t      testing.TB
	s      *harness.Server
	name   string
	config instance.Config
	c      *canald
	conn   *client.Conn
	marks  int
}

// newScene makes the schema anew; begin starts canald for it.
func newScene(t testing.TB, s *harness.Server, name string, id uint32) *scene {
	t.Helper()
	s.Exec(t, "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name, "CREATE TABLE "+name+".mark (id INT PRIMARY KEY)")
	cfg := config(s, name, id)
	cfg.Filter = name + `\..*`
	return &scene{t: t, s: s, name: name, config: cfg}
}

// begin starts canald and subscribes client 1001.
func (sc *scene) begin(dataDir string) {
	sc.t.Helper()
	sc.c = start(sc.t, dataDir, sc.config)
	sc.conn = connect(sc.t, sc.c, sc.name, 1001)
}

// exec runs statements in one session in the scene's schema, where nothing is
// too odd to be stored.
func (sc *scene) exec(sql ...string) {
	sc.t.Helper()
	sc.s.Exec(sc.t, append([]string{"SET SESSION sql_mode=''", "SET time_zone='+00:00'", "USE " + sc.name}, sql...)...)
}

// mark writes the next mark and returns it.
func (sc *scene) mark() int {
	sc.t.Helper()
	sc.marks++
	sc.exec(fmt.Sprintf("INSERT INTO mark VALUES (%d)", sc.marks))
	return sc.marks
}

// entries writes a mark and returns all entries that come before it.
func (sc *scene) entries() []*canalpb.Entry {
	sc.t.Helper()
	return entriesBefore(sc.t, sc.conn, sc.name, sc.mark())
}

// rows is entries for those who want the rows only.
func (sc *scene) rows() []row {
	sc.t.Helper()
	return rowsOf(sc.t, sc.entries())
}

// entriesBefore gets and acknowledges what comes before a mark.
func entriesBefore(t testing.TB, conn *client.Conn, schema string, mark int) []*canalpb.Entry {
	t.Helper()
	var got []*canalpb.Entry
	found := false
	drain(t, conn, func(e *canalpb.Entry) bool {
		if n, ok := markOf(t, e, schema); ok {
			found = found || n == mark
			return found
		}
		if !found {
			got = append(got, e)
		}
		return found && e.GetEntryType() == canalpb.EntryType_TRANSACTIONEND
	})
	// The begin of the mark's own transaction, and what MariaDB says about it.
	if n := len(got); n > 0 && isQuery(t, got[n-1]) && strings.Contains(change(t, got[n-1]).GetSql(), "INTO mark") {
		got = got[:n-1]
	}
	if n := len(got); n > 0 && got[n-1].GetEntryType() == canalpb.EntryType_TRANSACTIONBEGIN {
		got = got[:n-1]
	}
	return got
}

// markOf tells whether an entry is a mark, and which.
func markOf(t testing.TB, e *canalpb.Entry, schema string) (int, bool) {
	h := e.GetHeader()
	if e.GetEntryType() != canalpb.EntryType_ROWDATA || h.GetSchemaName() != schema || h.GetTableName() != "mark" || h.GetEventType() != canalpb.EventType_INSERT {
		return 0, false
	}
	rc := change(t, e)
	n := 0
	if _, err := fmt.Sscan(rc.GetRowDatas()[0].GetAfterColumns()[0].GetValue(), &n); err != nil {
		t.Fatal(err)
	}
	return n, true
}

// isQuery tells whether an entry holds a statement that accompanies rows.
func isQuery(t testing.TB, e *canalpb.Entry) bool {
	t.Helper()
	return e.GetEntryType() == canalpb.EntryType_ROWDATA && e.GetHeader().GetEventType() == canalpb.EventType_QUERY && !change(t, e).GetIsDdl()
}

// withoutQueries leaves out the statements that MariaDB adds to rows.
func withoutQueries(t testing.TB, entries []*canalpb.Entry) []*canalpb.Entry {
	t.Helper()
	return slices.DeleteFunc(entries, func(e *canalpb.Entry) bool { return isQuery(t, e) })
}

// change decodes what a ROWDATA entry holds.
func change(t testing.TB, e *canalpb.Entry) *canalpb.RowChange {
	t.Helper()
	rc := new(canalpb.RowChange)
	if err := proto.Unmarshal(e.GetStoreValue(), rc); err != nil {
		t.Fatal(err)
	}
	return rc
}

// row is one changed row.
type row struct {
	event         canalpb.EventType
	schema, table string
	before, after []*canalpb.Column
}

// rowsOf lists the changed rows of entries.
func rowsOf(t testing.TB, entries []*canalpb.Entry) []row {
	t.Helper()
	var rows []row
	for _, e := range entries {
		if e.GetEntryType() != canalpb.EntryType_ROWDATA {
			continue
		}
		for _, r := range change(t, e).GetRowDatas() {
			rows = append(rows, row{e.GetHeader().GetEventType(), e.GetHeader().GetSchemaName(), e.GetHeader().GetTableName(), r.GetBeforeColumns(), r.GetAfterColumns()})
		}
	}
	return rows
}

// String is a row as "table INSERT a=1 b=NULL", with "->" before what an update
// made and "*" behind a column that it changed.
func (r row) String() string {
	var b strings.Builder
	b.WriteString(r.table + " " + r.event.String())
	write := func(columns []*canalpb.Column) {
		for _, c := range columns {
			v := c.GetValue()
			if c.GetIsNull() {
				v = "NULL"
			}
			b.WriteString(" " + c.GetName() + "=" + v)
			if c.GetUpdated() && r.event == canalpb.EventType_UPDATE {
				b.WriteByte('*')
			}
		}
	}
	write(r.before)
	if r.event == canalpb.EventType_UPDATE {
		b.WriteString(" ->")
	}
	write(r.after)
	return b.String()
}

// story writes entries in short: rows as String has them, "BEGIN", "END", "DDL: "
// and a statement that stands alone, and others as "QUERY: text".
func story(t testing.TB, entries []*canalpb.Entry) []string {
	t.Helper()
	var lines []string
	for _, e := range entries {
		switch e.GetEntryType() {
		case canalpb.EntryType_TRANSACTIONBEGIN:
			lines = append(lines, "BEGIN")
		case canalpb.EntryType_TRANSACTIONEND:
			lines = append(lines, "END")
		case canalpb.EntryType_ROWDATA:
			rows := rowsOf(t, []*canalpb.Entry{e})
			for _, r := range rows {
				lines = append(lines, r.String())
			}
			switch {
			case len(rows) > 0:
			case change(t, e).GetIsDdl():
				lines = append(lines, "DDL: "+change(t, e).GetSql())
			default:
				lines = append(lines, strings.TrimSpace(e.GetHeader().GetEventType().String()+" "+e.GetHeader().GetTableName())+": "+change(t, e).GetSql())
			}
		default:
			lines = append(lines, e.GetEntryType().String())
		}
	}
	return lines
}

// transaction is what a transaction's entries look like: MariaDB's have no begin.
func transaction(s *harness.Server, lines ...string) []string {
	if s.MySQL() {
		lines = append([]string{"BEGIN"}, lines...)
	}
	return append(lines, "END")
}

// equal compares lines and tells the first that differ.
func equal(t testing.TB, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("line %d:\n got  %q\n want %q", i, g, w)
			if len(got) != len(want) {
				t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
			}
		}
	}
}
