// Package golden replays scripts on real servers and compares what canald sends
// with recordings of Canal's Java server, presence of fields included. The
// scripts, the recordings and their rules are in testdata.
package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mysql "github.com/go-mysql-org/go-mysql/client"

	"github.com/canald/canald/client"
	"github.com/canald/canald/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// broken are the recordings that break off before the end of their script.
var broken = map[string]bool{
	"mysql/16_ddl_hard": true, "mysql/17_mysql_invisible": true, "mysql/19_mysql_vector": true, "mariadb/14_mariadb_only": true,
}

const (
	destination = "golden"
	// Longer than any pause of a server that goes on.
	quietLimit = 5 * time.Second
	// A get of this size takes all that a script makes, in KiB.
	fetchSize = 64 << 10
)

func TestGolden(t *testing.T) {
	// The recordings hold TIMESTAMPs as of this zone.
	t.Setenv("TZ", "UTC")
	for _, version := range []harness.Version{harness.MySQL97, harness.MariaDB1011} {
		folder, _, _ := strings.Cut(string(version), "-")
		t.Run(folder, func(t *testing.T) {
			st := &stage{s: harness.Shared(t, version)}
			st.s.Exec(t, "DROP DATABASE IF EXISTS golden_mark", "CREATE DATABASE golden_mark", "CREATE TABLE golden_mark.mark (id INT PRIMARY KEY)")
			st.begin(t)
			recordings, err := filepath.Glob(filepath.Join("testdata", "expected", folder, "*.jsonl"))
			if err != nil || len(recordings) == 0 {
				t.Fatalf("no recordings of %s: %v", folder, err)
			}
			for _, path := range recordings {
				name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
				complete := true
				t.Run(name, func(t *testing.T) { complete = st.replay(t, folder, name) })
				if !complete {
					st.c.Kill()
					st.begin(t)
				}
			}
		})
	}
}

// stage is a server, the canald that follows it and the client of both.
type stage struct {
	s     *harness.Server
	c     *harness.Canald
	conn  *client.Conn
	marks int
}

// begin starts canald at the end of the binlog with a fresh home.
func (st *stage) begin(t testing.TB) {
	t.Helper()
	st.c = harness.StartCanald(t, st.s, "", map[string]string{destination: `canal.instance.filter.regex=.*\\..*`})
	st.connect(t)
}

// connect subscribes anew; an instance that just starts refuses for a while.
func (st *stage) connect(t testing.TB) {
	t.Helper()
	if st.conn != nil {
		_ = st.conn.Close()
	}
	conn, err := client.Dial(t.Context(), client.Options{Addr: st.c.Addr, Destination: destination})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(quietLimit); ; time.Sleep(20 * time.Millisecond) {
		err := conn.Subscribe(t.Context(), "")
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("subscribe: %v\n%s", err, st.c.Log())
		}
	}
	st.conn = conn
}

// replay runs a script and compares. It says whether canald came to its end.
func (st *stage) replay(t *testing.T, folder, name string) (complete bool) {
	t.Helper()
	want := readRecording(t, filepath.Join("testdata", "expected", folder, name+".jsonl"))
	script, err := os.ReadFile(filepath.Join("testdata", "sql", name+".sql"))
	if err != nil {
		t.Fatal(err)
	}
	st.drain(t, st.mark(t)) // what an earlier script left
	st.dropDatabases(t)
	st.drain(t, st.mark(t))
	st.s.Exec(t, "FLUSH BINARY LOGS")
	began := time.Now()
	session := st.run(t, string(script))
	raw, complete := st.drain(t, st.mark(t))
	ended := time.Now()
	got := make([]entry, len(raw))
	for i, b := range raw {
		if got[i], err = decodeEntry(b); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
	if !complete {
		t.Errorf("canald does not come to the end of the script\n%s", st.c.Log())
	}
	checkSource(t, readBinlog(t, st.s), got, session, began, ended)
	if broken[folder+"/"+name] {
		compareRows(t, filepath.Join("testdata", "beyond", folder, name+".txt"), got)
		got = got[:min(len(want), len(got))]
	}
	compare(t, folder+"/"+name, got, want)
	return complete
}

// dropDatabases drops the databases of all scripts.
func (st *stage) dropDatabases(t testing.TB) {
	t.Helper()
	conn, err := st.s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, err := conn.Execute(`SELECT schema_name FROM information_schema.schemata WHERE schema_name REGEXP '^g[0-9]'`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.RowNumber() {
		name, _ := r.GetString(i, 0)
		if _, err := conn.Execute("DROP DATABASE `" + name + "`"); err != nil {
			t.Fatal(err)
		}
	}
}

// run gives a script to the server as the command-line client with --force does,
// in one session, and returns the session's id.
func (st *stage) run(t testing.TB, script string) uint32 {
	t.Helper()
	conn, err := st.s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetCharset("utf8mb4"); err != nil {
		t.Fatal(err)
	}
	for _, statement := range splitScript(script) {
		if err := execute(conn, statement); err != nil {
			t.Logf("%.80s: %v", statement, err)
		}
	}
	return conn.GetConnectionID()
}

func execute(conn *mysql.Conn, statement string) error {
	r, err := conn.Execute(statement)
	if r != nil {
		r.Close()
	}
	return err
}

// mark writes the next mark and returns it.
func (st *stage) mark(t testing.TB) int {
	t.Helper()
	st.marks++
	st.s.Exec(t, fmt.Sprintf("INSERT INTO golden_mark.mark VALUES (%d)", st.marks))
	return st.marks
}

// drain gets and acknowledges what comes before a mark's transaction, and says
// whether the mark came.
func (st *stage) drain(t testing.TB, mark int) (entries [][]byte, complete bool) {
	t.Helper()
	found := false
	for last := time.Now(); time.Since(last) < quietLimit; {
		m, err := st.conn.GetWithoutAck(t.Context(), fetchSize, 0)
		if err != nil {
			t.Errorf("%v", err)
			return entries, false
		}
		if m.ID < 0 {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		last = time.Now()
		for _, b := range m.Raw {
			e, err := decodeEntry(b)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case found:
				found = e.number("entryType") != typeEnd
				complete = complete || !found
			case e.isMark(mark):
				found = true
			default:
				entries = append(entries, b)
			}
		}
		if err := st.conn.Ack(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
		if complete {
			return withoutMark(t, entries), true
		}
	}
	return entries, false
}

// withoutMark leaves out what leads a mark's transaction: its begin, and the
// statement that MariaDB adds.
func withoutMark(t testing.TB, entries [][]byte) [][]byte {
	t.Helper()
	for len(entries) > 0 {
		last, err := decodeEntry(entries[len(entries)-1])
		if err != nil {
			t.Fatal(err)
		}
		begin := last.number("entryType") == typeBegin
		if !begin && !strings.HasPrefix(last.text("rowChange", "sql"), "INSERT INTO golden_mark.mark") {
			break
		}
		entries = entries[:len(entries)-1]
		if begin {
			break
		}
	}
	return entries
}
