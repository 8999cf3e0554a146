package integration

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/metrics"
	"github.com/canald/canald/test/harness"
)

// status is what the scene's instance says of itself.
func (sc *scene) status() instance.Status {
	sc.t.Helper()
	for _, h := range sc.c.host.Destinations() {
		if h.Destination == sc.name && h.Instance != nil {
			if s, ok := h.Instance.Status(); ok {
				return s
			}
		}
	}
	sc.t.Fatalf("%s does not run", sc.name)
	return instance.Status{}
}

// Every figure of an instance moves with what it stands for.
func TestStatusFollows(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "status1", 4701)
		sc.exec(idTable)
		sc.begin("")
		sc.insertIDs(1, 5)
		sc.entries()
		acked := func(rows int64) func() bool { return func() bool { return sc.status().Store.Rows.Ack >= rows } }
		eventually(t, "acks", acked(6)) // nothing answers an ack
		before := sc.status()
		if !before.Connected || before.Version == "" || before.Received == 0 || before.Offset == 0 || before.LastEvent.IsZero() || before.Dumps != 1 || !before.TroubleSince.IsZero() {
			t.Errorf("%+v", before)
		}
		if d := before.Delay; d > 5*time.Second {
			t.Errorf("a delay of %s on one host", d)
		}
		c := before.Clients
		if len(c) != 1 || c[0].ID != 1001 || !c[0].Known || c[0].Store.OldestTime != 0 || c[0].Store.Outstanding != 0 || c[0].Cursor.File == "" {
			t.Errorf("clients %+v", c)
		}
		if r := before.Store.Rows; r.Put != 6 || r.Get != 6 || r.Ack != 6 {
			t.Errorf("rows %+v, want 6 of each", r)
		}

		sc.insertIDs(6, 8)
		eventually(t, "three more transactions", func() bool { return sc.status().Transactions == before.Transactions+3 })
		m, err := sc.conn.GetWithoutAck(t.Context(), 1, 0)
		if err != nil || m.ID < 0 {
			t.Fatalf("%v, a batch of %d", err, m.ID)
		}
		after := sc.status()
		if after.Received <= before.Received || after.Offset <= before.Offset && after.File == before.File {
			t.Errorf("nothing was received: %+v", after)
		}
		if c := after.Clients[0].Store; c.Outstanding != 1 || c.OldestTime == 0 || after.Store.Entries == 0 || after.Store.Bytes == 0 {
			t.Errorf("%+v, %+v", c, after.Store)
		}
		if err := sc.conn.Rollback(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a rollback", func() bool { return sc.status().Clients[0].Store.Rollbacks == 1 })
		sc.entries()
		eventually(t, "acks", acked(10))
		end := sc.status()
		s.Exec(t, "DROP DATABASE IF EXISTS status1_not", "CREATE DATABASE status1_not", "CREATE TABLE status1_not.t (id INT PRIMARY KEY)", "INSERT INTO status1_not.t VALUES (1)", "DROP DATABASE status1_not")
		sc.mark()
		eventually(t, "what is not wanted", func() bool { return sc.status().Filtered["table"] > end.Filtered["table"] })
		if c := end.Clients[0].Store; c.OldestTime != 0 || c.Outstanding != 0 || end.Store.Entries != 0 || end.Store.Rows.Get <= end.Store.Rows.Ack && c.AgainRows > 0 {
			t.Errorf("%+v, %+v", c, end.Store)
		}
	})
}

// A source whose binlog cannot be read on from one place is connected again and
// again; the trouble is one all the same.
func TestStatusOfTrouble(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "status2", 4702)
		sc.exec(idTable, "CREATE TABLE gone (id INT PRIMARY KEY)")
		file, offset := place(t, s)
		sc.exec("INSERT INTO gone VALUES (1)", "DROP TABLE gone")
		sc.config.Start = binlog.StartConfig{File: file, Offset: offset}
		sc.config.RetryMax = 100 * time.Millisecond
		sc.c = start(t, "", sc.config)
		eventually(t, "errors", func() bool {
			for _, h := range sc.c.host.Destinations() {
				if h.Instance != nil {
					st, ok := h.Instance.Status()
					return ok && st.Errors["structure"] >= 3
				}
			}
			return false
		})
		first := sc.status()
		eventually(t, "more errors", func() bool { return sc.status().Errors["structure"] > first.Errors["structure"]+2 })
		st := sc.status()
		if st.TroubleSince.IsZero() || !st.TroubleSince.Equal(first.TroubleSince) || st.Dumps < 5 || !strings.Contains(st.LastError, "gone") {
			t.Errorf("%+v", st)
		}
		m := metrics.New(metrics.Config{ReadyLimit: time.Millisecond}, func() []metrics.Destination {
			st := sc.status()
			return []metrics.Destination{{Name: sc.name, State: metrics.Running, Status: &st}}
		}, zap.NewNop())
		if text := ask(t, m, "/readyz", http.StatusServiceUnavailable); !strings.Contains(text, "status2: retrying since ") || !strings.Contains(text, "gone") {
			t.Errorf("%s", text)
		}
		if text := ask(t, m, "/metrics", http.StatusOK); !strings.Contains(text, `canal_destination_state{destination="status2",state="retrying"} 1`) {
			t.Errorf("%s", text)
		}
	})
}

func ask(t *testing.T, m *metrics.Metrics, path string, code int) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	raw, err := io.ReadAll(w.Body)
	if err != nil || w.Code != code {
		t.Errorf("%s: %d, want %d; %v", path, w.Code, code, err)
	}
	return string(raw)
}

// A store that nobody empties ends the dump: that is a rest and no trouble, and
// its delay grows. A client that is detached is behind, not up to date.
func TestStatusOfRest(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "status3", 4703)
		sc.exec(idTable)
		sc.config.Store.Slots = 64
		sc.config.AbsentAfter, sc.config.ParkAfter = 200*time.Millisecond, 1500*time.Millisecond
		sc.begin("")
		away := connect(t, sc.c, sc.name, 1002)
		sc.insertIDs(1, 5)
		sc.mark()
		entriesBefore(t, away, sc.name, sc.marks)
		sc.insertIDs(6, 300)
		total := 0
		ids := func(e *canalpb.Entry) bool {
			if e.GetEntryType() == canalpb.EntryType_ROWDATA && e.GetHeader().GetTableName() == "t" {
				total += len(rowsOf(t, []*canalpb.Entry{e}))
			}
			return total >= 150
		}
		drain(t, sc.conn, ids)
		eventually(t, "the other client's age", func() bool { return sc.status().Clients[1].Store.OldestTime != 0 })
		st := sc.status()
		if len(st.Clients) != 2 || st.Clients[1].ID != 1002 || st.Clients[1].Known || st.Clients[1].Store.OldestTime == 0 {
			t.Errorf("a client that was detached: %+v", st.Clients)
		}
		eventually(t, "a rest", func() bool { return !sc.status().ParkedSince.IsZero() })
		st = sc.status()
		if st.Connected || !st.TroubleSince.IsZero() || st.LastError != "" || st.Store.Blocked < sc.config.ParkAfter {
			t.Errorf("%+v", st)
		}
		eventually(t, "a delay", func() bool { return sc.status().Delay >= 2*time.Second })
		drain(t, sc.conn, func(e *canalpb.Entry) bool { ids(e); return total >= 300 })
		eventually(t, "a dump", func() bool { st := sc.status(); return st.Connected && st.ParkedSince.IsZero() })
	})
}
