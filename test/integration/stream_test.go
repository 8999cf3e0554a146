package integration

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

const idTable = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(50))"

// idsOf lists the first column of the rows that table t got by inserts.
func idsOf(t testing.TB, entries []*canalpb.Entry) []int {
	t.Helper()
	var ids []int
	for _, r := range rowsOf(t, entries) {
		if r.table != "t" {
			continue
		}
		id, err := strconv.Atoi(r.after[0].GetValue())
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func upTo(from, to int) []int {
	ids := make([]int, 0, to-from+1)
	for i := from; i <= to; i++ {
		ids = append(ids, i)
	}
	return ids
}

// sameIDs compares and tells where the first difference is.
func sameIDs(t testing.TB, what string, got, want []int) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s: row %d of %d is %d, want %d", what, i, len(got), got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d; the last are %v", what, len(got), len(want), got[max(0, len(got)-3):])
	}
}

// insertIDs writes rows from..to, each in a transaction of its own.
func (sc *scene) insertIDs(from, to int) {
	sc.t.Helper()
	statements := make([]string, 0, to-from+1)
	for _, id := range upTo(from, to) {
		statements = append(statements, fmt.Sprintf("INSERT INTO t VALUES (%d, 'row %d')", id, id))
	}
	sc.exec(statements...)
}

func TestManyRowsInOrder(t *testing.T) {
	const rows, perStatement, single = 100_000, 2000, 2000
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "many1", 4301)
		sc.exec(idTable)
		sc.begin("")
		var statements []string
		for from := 1; from < rows; from += perStatement {
			var b strings.Builder
			b.WriteString("INSERT INTO t VALUES ")
			for id := from; id < from+perStatement; id++ {
				if id > from {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, "(%d,'row %d')", id, id)
			}
			statements = append(statements, b.String())
		}
		sc.exec(statements...)
		sc.insertIDs(rows+1, rows+single)
		entries := sc.entries()
		sameIDs(t, "bulk", idsOf(t, entries), upTo(1, rows+single))
		ends := 0
		for _, e := range entries {
			if e.GetEntryType() == canalpb.EntryType_TRANSACTIONEND {
				ends++
			}
		}
		if want := rows/perStatement + single; ends != want {
			t.Errorf("%d transactions ended, want %d", ends, want)
		}
	})
}

// get returns the next batch that is not empty, unacknowledged.
func get(t testing.TB, conn *client.Conn, size int) (*client.Message, []*canalpb.Entry) {
	t.Helper()
	var m *client.Message
	eventually(t, "a batch", func() bool {
		var err error
		if m, err = conn.GetWithoutAck(t.Context(), size, 0); err != nil {
			t.Fatal(err)
		}
		return m.ID > 0
	})
	entries, err := m.Decode()
	if err != nil {
		t.Fatal(err)
	}
	return m, entries
}

// canald ends and starts again at every few acks: nothing is lost, and of what
// was acknowledged at most the cursor's own event comes again, which is no row.
func TestRestartBetweenAcks(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "restart1", 4302)
		sc.exec(idTable)
		sc.config.Store.ItemMode = true
		dir := t.TempDir()
		sc.begin(dir)
		var got []int
		for round := range 4 {
			sc.insertIDs(round*10+1, round*10+10)
			for batch := range 3 {
				m, entries := get(t, sc.conn, 7)
				if batch < 2 {
					if err := sc.conn.Ack(t.Context(), m.ID); err != nil {
						t.Fatal(err)
					}
					got = append(got, idsOf(t, entries)...)
				}
			}
			// What has an answer comes behind the acks.
			if err := sc.conn.Subscribe(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			sc.c.stop()
			sc.insertIDs(1000+round, 1000+round) // while nobody follows
			sc.begin(dir)
		}
		got = append(got, idsOf(t, sc.entries())...)
		var want []int
		for round := range 4 {
			want = append(want, upTo(round*10+1, round*10+10)...)
			want = append(want, 1000+round)
		}
		// An ack inside a transaction moves the cursor to the end before it only:
		// its row may come twice, once right after a restart.
		if repeats := len(got) - len(want); repeats > 4 {
			t.Errorf("%d rows came twice, want at most one for a restart", repeats)
		}
		seen := map[int]bool{}
		got = slices.DeleteFunc(got, func(id int) bool {
			old := seen[id]
			seen[id] = true
			return old
		})
		sameIDs(t, "restarts", got, want)
	})
}

// A client that subscribed and never acknowledged loses nothing by a restart.
func TestRestartBeforeFirstAck(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "restart2", 4303)
		sc.exec(idTable)
		dir := t.TempDir()
		sc.begin(dir)
		sc.insertIDs(1, 3)
		get(t, sc.conn, 1000)
		sc.c.stop()
		sc.insertIDs(4, 6)
		sc.begin(dir)
		sameIDs(t, "after the restart", idsOf(t, sc.entries()), upTo(1, 6))
	})
}

func TestSourceRestarts(t *testing.T) {
	each(t, func(t *testing.T, shared *harness.Server) {
		s := ownServer(t, shared.Version)
		sc := newScene(t, s, "source1", 4304)
		sc.exec(idTable)
		sc.begin("")
		sc.insertIDs(1, 5)
		sameIDs(t, "before", idsOf(t, sc.entries()), upTo(1, 5))
		sc.insertIDs(6, 8)
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		sc.insertIDs(9, 12)
		sameIDs(t, "after an orderly restart", idsOf(t, sc.entries()), upTo(6, 12))

		// Not running when canald starts.
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		sc.c.stop()
		dir := t.TempDir()
		sc.c = start(t, dir, sc.config)
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		sc.conn = connect(t, sc.c, sc.name, 1001)
		eventually(t, "the start's place is known", func() bool { return sc.c.host.Instance(sc.name) != nil })
		sc.insertIDs(13, 15)
		sameIDs(t, "source came late", idsOf(t, sc.entries()), upTo(13, 15))
	})
}

// ownServer starts a server for one test.
func ownServer(t testing.TB, v harness.Version, args ...string) *harness.Server {
	t.Helper()
	s, err := harness.StartServer(t.Context(), v, t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() })
	return s
}

// killDump ends the dump connections of an account at the source.
func killDump(t testing.TB, s *harness.Server) int {
	t.Helper()
	conn, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	res, err := conn.Execute("SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range res.RowNumber() {
		id, err := res.GetInt(i, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Execute(fmt.Sprintf("KILL %d", id)); err == nil {
			n++
		}
	}
	return n
}

func TestDumpIsKilled(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "killed1", 4305)
		sc.exec(idTable)
		sc.begin("")
		for round := range 5 {
			sc.insertIDs(round*100+1, round*100+100)
			if round == 0 { // the dump begins a moment after the subscription
				eventually(t, "a dump to kill", func() bool { return killDump(t, s) > 0 })
				continue
			}
			killDump(t, s)
		}
		sameIDs(t, "after the kills", idsOf(t, sc.entries()), upTo(1, 500))
	})
}

// Two clients of one destination get everything, each at its own pace.
func TestTwoClients(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "two1", 4306)
		sc.exec(idTable)
		sc.begin("")
		other := connect(t, sc.c, sc.name, 1002)
		sc.insertIDs(1, 50)
		m, first := get(t, other, 1000)
		sameIDs(t, "1001", idsOf(t, sc.entries()), upTo(1, 50))
		if err := other.Rollback(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
		again := entriesBefore(t, other, sc.name, sc.marks)
		sameIDs(t, "1002", idsOf(t, again), upTo(1, 50))
		if len(idsOf(t, first)) == 0 {
			t.Error("the first batch held no row")
		}
	})
}
