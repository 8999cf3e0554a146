package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

// TestFoldersWhileReading adds two instances, changes one and removes one while
// a client reads a third, which must not notice: one connection, every row once,
// in order, and never a long wait.
func TestFoldersWhileReading(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS fault_folders", "CREATE DATABASE fault_folders",
		"CREATE TABLE fault_folders.t (seq INT PRIMARY KEY)", "CREATE TABLE fault_folders.u (seq INT PRIMARY KEY)")
	rows := `canal.instance.filter.regex=fault_folders\\.t` + "\n"
	c := harness.StartCanald(t, s, "canal.auto.scan=true\ncanal.auto.scan.interval=1", map[string]string{"third": rows, "old": rows})
	third := dial(t, c, "third")

	stop := make(chan struct{})
	written := make(chan int, 1)
	go func() {
		n := 0
		defer func() { written <- n }()
		for {
			n++
			s.Exec(t, fmt.Sprintf("INSERT INTO fault_folders.t VALUES (%d)", n))
			select {
			case <-time.After(5 * time.Millisecond):
			case <-stop:
				return
			}
		}
	}()
	type outcome struct {
		rows    int
		longest time.Duration
		err     error
	}
	read := make(chan outcome, 1)
	last := make(chan int, 1)
	go func() {
		o, want := outcome{}, -1
		seen := time.Now()
		for want < 0 || o.rows < want {
			select {
			case want = <-last:
			default:
			}
			m, err := third.GetWithoutAck(t.Context(), 100, 100*time.Millisecond)
			if err == nil && m.ID >= 0 {
				var n []int
				if n, err = sequences(m); err == nil {
					for _, seq := range n {
						if seq != o.rows+1 {
							err = fmt.Errorf("row %d came behind row %d", seq, o.rows)
						}
						o.rows = seq
					}
					o.longest = max(o.longest, time.Since(seen))
					seen = time.Now()
				}
				if err == nil {
					err = third.Ack(t.Context(), m.ID)
				}
			}
			if err != nil {
				o.err = err
				break
			}
		}
		read <- o
	}()

	reaches := func(destination string, want bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			conn, err := client.Dial(t.Context(), client.Options{Addr: c.Addr, Destination: destination})
			if err == nil {
				err = conn.Subscribe(t.Context(), "")
				_ = conn.Close()
			}
			if (err == nil) == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("destination %s: %v\n%s", destination, err, c.Log())
			}
		}
	}
	c.Configure(t, s, "new1", rows)
	c.Configure(t, s, "new2", rows)
	reaches("new1", true)
	reaches("new2", true)

	// The changed one follows the other table from now on.
	c.Configure(t, s, "new1", `canal.instance.filter.regex=fault_folders\\.u`)
	waitLog(t, c, "auto notify reload new1 successful.")
	changed := dial(t, c, "new1")
	s.Exec(t, "INSERT INTO fault_folders.u VALUES (1)")
	for end := time.Now().Add(20 * time.Second); ; {
		m, err := changed.GetWithoutAck(t.Context(), 100, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(tables(t, m)); m.ID >= 0 && strings.Contains(text, "u") {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the changed filter is not in force: %s", text)
		}
		if m.ID >= 0 {
			if err := changed.Ack(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.RemoveAll(filepath.Join(c.Home, "conf", "old")); err != nil {
		t.Fatal(err)
	}
	reaches("old", false)
	waitLog(t, c, "auto notify stop old successful.")

	close(stop)
	n := <-written
	last <- n
	select {
	case o := <-read:
		if o.err != nil {
			t.Fatal(o.err)
		}
		t.Logf("%d rows, longest gap between two batches %s", o.rows, o.longest)
		if o.rows < n || o.longest > 10*time.Second {
			t.Errorf("%d of %d rows, longest gap %s", o.rows, n, o.longest)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the third instance's rows did not all come")
	}
	c.Stop(t)
}

func dial(t *testing.T, c *harness.Canald, destination string) *client.Conn {
	t.Helper()
	conn, err := client.Dial(t.Context(), client.Options{Addr: c.Addr, Destination: destination})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err = conn.Subscribe(t.Context(), ""); err == nil {
			return conn
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func waitLog(t *testing.T, c *harness.Canald, text string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		raw, err := os.ReadFile(filepath.Join(c.Home, "logs", "canal", "canal.log"))
		if err == nil && strings.Contains(string(raw), text) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%q is not logged\n%s", text, raw)
		}
	}
}

// receive gets and acknowledges until so many rows came, for 20 s at most, and
// returns how many did.
func receive(t *testing.T, conn *client.Conn, want int) (rows int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); rows < want && time.Now().Before(end); {
		m, err := conn.GetWithoutAck(t.Context(), 100, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if m.ID < 0 {
			continue
		}
		n, err := sequences(m)
		if err != nil {
			t.Fatal(err)
		}
		rows += len(n)
		if err := conn.Ack(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// sequences lists the first column of all rows of a batch.
func sequences(m *client.Message) ([]int, error) {
	entries, err := m.Decode()
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		if e.GetEntryType() != canalpb.EntryType_ROWDATA {
			continue
		}
		var change canalpb.RowChange
		if err := proto.Unmarshal(e.GetStoreValue(), &change); err != nil {
			return nil, err
		}
		for _, r := range change.GetRowDatas() {
			n := 0
			if _, err := fmt.Sscan(r.GetAfterColumns()[0].GetValue(), &n); err != nil {
				return nil, err
			}
			out = append(out, n)
		}
	}
	return out, nil
}

func tables(t *testing.T, m *client.Message) []string {
	t.Helper()
	entries, err := m.Decode()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.GetHeader().GetTableName())
	}
	return out
}
