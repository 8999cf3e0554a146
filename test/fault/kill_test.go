// Package fault kills, starves and floods the canald binary while a writer writes
// and a client reads. The check is the client's: nothing lost, order kept,
// repeats only after the last cursor that was saved.
package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// seconds is how long a fault test goes on; CANALD_FAULT_SECONDS asks for more.
func seconds(t *testing.T, usual int) time.Duration {
	t.Helper()
	v := os.Getenv("CANALD_FAULT_SECONDS")
	if v == "" {
		return time.Duration(usual) * time.Second
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("CANALD_FAULT_SECONDS=%q: %v", v, err)
	}
	return time.Duration(n) * time.Second
}

// received is one row as a client got it.
type received struct {
	seq    int
	offset string // file:offset of its event, sorts as the binlog does
	at     time.Time
}

func TestKill(t *testing.T) {
	for _, v := range harness.Versions() {
		t.Run(string(v), func(t *testing.T) {
			s := harness.Shared(t, v)
			s.Exec(t, "DROP DATABASE IF EXISTS fault_kill", "CREATE DATABASE fault_kill", "CREATE TABLE fault_kill.t (seq INT PRIMARY KEY, v VARCHAR(100))")
			c := harness.StartCanald(t, s, "canal.file.flush.period=200", map[string]string{"kill": `canal.instance.filter.regex=fault_kill\\..*`})
			reader := &killReader{t: t, addr: c.Addr, cursor: filepath.Join(c.Home, "conf", "kill", "meta.dat")}
			reader.reconnect(t.Context())

			var written atomic.Int64
			ctx, cancel := context.WithTimeout(t.Context(), seconds(t, 12))
			defer cancel()
			writer := make(chan error, 1)
			go func() { writer <- write(ctx, s, &written) }()
			read := make(chan error, 1)
			go func() { read <- reader.run(t.Context(), &written, writer) }()
			kills := 0
			for ctx.Err() == nil {
				select {
				case <-time.After(2*time.Second - time.Duration(rand.IntN(400))*time.Millisecond):
					c.Kill()
					kills++
					c.Start(t)
				case <-ctx.Done():
				}
			}
			if err := <-read; err != nil {
				t.Fatalf("%v\n%s", err, c.Log())
			}
			reader.check(int(written.Load()))
			t.Logf("%d kills, %d rows written, %d received, %d of them again", kills, written.Load(), len(reader.rows), reader.repeats)
		})
	}
}

// write inserts rows with rising numbers, some alone, some many in a transaction.
func write(ctx context.Context, s *harness.Server, written *atomic.Int64) error {
	conn, err := s.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for seq := 1; ctx.Err() == nil; {
		n := 1
		if rand.IntN(5) == 0 {
			n = 1 + rand.IntN(40)
		}
		if err := conn.Begin(); err != nil {
			return err
		}
		for range n {
			if _, err := conn.Execute(fmt.Sprintf("INSERT INTO fault_kill.t VALUES (%d, 'row number %d')", seq, seq)); err != nil {
				return err
			}
			seq++
		}
		if err := conn.Commit(); err != nil {
			return err
		}
		written.Store(int64(seq - 1))
		select {
		case <-time.After(time.Duration(rand.IntN(4)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

// killReader is a client that connects again and again, as applications do.
type killReader struct {
	t       *testing.T
	addr    string
	find    func() string // where to connect to; nil is addr
	cursor  string        // meta.dat
	conn    *client.Conn
	rows    []received
	saved   string // the cursor in meta.dat when the connection was lost
	repeats int
	highest int
}

func (r *killReader) reconnect(ctx context.Context) {
	if r.conn != nil {
		_ = r.conn.Close()
		r.conn = nil
	}
	r.saved = savedCursor(r.cursor)
	for ctx.Err() == nil {
		addr := r.addr
		if r.find != nil {
			addr = r.find()
		}
		conn, err := client.Dial(ctx, client.Options{Addr: addr, Destination: "kill"})
		if err == nil {
			if err = conn.Subscribe(ctx, ""); err == nil {
				if err = conn.Rollback(ctx, 0); err == nil {
					r.conn = conn
					return
				}
			}
			_ = conn.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// run reads until all that was written has come.
func (r *killReader) run(ctx context.Context, written *atomic.Int64, writer <-chan error) error {
	done := false
	var limit time.Time
	for {
		if !done {
			select {
			case err := <-writer:
				if err != nil {
					return fmt.Errorf("writer: %w", err)
				}
				done, limit = true, time.Now().Add(30*time.Second)
			default:
			}
		}
		if done && (r.highest >= int(written.Load()) || time.Now().After(limit)) {
			return nil
		}
		if r.conn == nil {
			return context.Cause(ctx) // the test ended while it connected
		}
		m, err := r.conn.GetWithoutAck(ctx, 20, 50*time.Millisecond)
		if err != nil {
			r.reconnect(ctx)
			continue
		}
		if m.ID == client.NoBatch {
			continue
		}
		entries, err := m.Decode()
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := r.take(e); err != nil {
				return err
			}
		}
		if err := r.conn.Ack(ctx, m.ID); err != nil {
			r.reconnect(ctx)
		}
	}
}

// take checks a row as it comes: the next one, or one that was not behind the
// last saved cursor.
func (r *killReader) take(e *canalpb.Entry) error {
	if e.GetEntryType() != canalpb.EntryType_ROWDATA || e.GetHeader().GetTableName() != "t" || e.GetHeader().GetEventType() != canalpb.EventType_INSERT {
		return nil
	}
	var rc canalpb.RowChange
	if err := proto.Unmarshal(e.GetStoreValue(), &rc); err != nil {
		return err
	}
	place := fmt.Sprintf("%s:%012d", e.GetHeader().GetLogfileName(), e.GetHeader().GetLogfileOffset())
	for _, row := range rc.GetRowDatas() {
		seq, err := strconv.Atoi(row.GetAfterColumns()[0].GetValue())
		if err != nil {
			return err
		}
		if n := len(r.rows); n > 0 && seq != r.rows[n-1].seq+1 {
			// A step back is a repeat after a kill; it may not pass the saved cursor.
			if seq > r.rows[n-1].seq {
				return fmt.Errorf("row %d came after row %d", seq, r.rows[n-1].seq)
			}
			if r.saved != "" && place < r.saved {
				return fmt.Errorf("row %d at %s came again, before the saved cursor %s", seq, place, r.saved)
			}
		}
		if seq <= r.highest {
			r.repeats++
		}
		r.highest = max(r.highest, seq)
		r.rows = append(r.rows, received{seq: seq, offset: place, at: time.Now()})
	}
	return nil
}

func (r *killReader) check(written int) {
	seen := make([]bool, written+1)
	for _, row := range r.rows {
		if row.seq <= written {
			seen[row.seq] = true
		}
	}
	missing := 0
	for seq := 1; seq <= written; seq++ {
		if !seen[seq] {
			missing++
			if missing <= 5 {
				r.t.Errorf("row %d is missing", seq)
			}
		}
	}
	if missing > 0 {
		r.t.Errorf("%d of %d rows are missing", missing, written)
	}
}

// savedCursor reads the place of client 1001 in meta.dat; empty when there is none.
func savedCursor(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	var doc struct {
		ClientDatas []struct {
			Cursor struct {
				Postion struct {
					JournalName string
					Position    int64
				}
			}
		}
	}
	if json.Unmarshal(raw, &doc) != nil || len(doc.ClientDatas) == 0 {
		return ""
	}
	p := doc.ClientDatas[0].Cursor.Postion
	if p.JournalName == "" {
		return ""
	}
	return fmt.Sprintf("%s:%012d", p.JournalName, p.Position)
}
