package fault

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

// Twenty destinations follow one server, each a schema of its own, with a client
// each and a writer over all: every client gets exactly its rows, in order.
func TestManyDestinations(t *testing.T) {
	const destinations, rowsEach = 20, 500
	s := harness.Shared(t, harness.Versions()[0])
	homes := map[string]string{}
	for i := range destinations {
		name := fmt.Sprintf("fault_many%02d", i)
		s.Exec(t, "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name, "CREATE TABLE "+name+".t (seq INT PRIMARY KEY, schema_name VARCHAR(30))")
		homes[name] = fmt.Sprintf("canal.instance.mysql.slaveId=%d\ncanal.instance.filter.regex=%s\\\\..*", 7000+i, name)
	}
	c := harness.StartCanald(t, s, "", homes)
	var wg sync.WaitGroup
	var ready sync.WaitGroup
	ready.Add(destinations)
	for name := range homes {
		wg.Go(func() {
			if err := manyClient(t, c.Addr, name, rowsEach, &ready); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	ready.Wait()
	conn, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for seq := 1; seq <= rowsEach; seq++ {
		for name := range homes {
			if _, err := conn.Execute(fmt.Sprintf("INSERT INTO %s.t VALUES (%d, '%s')", name, seq, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	_, peak := c.Memory(t)
	t.Logf("%d destinations, %d rows each: peak memory %d MB", destinations, rowsEach, peak>>20)
	if peak > 400<<20 {
		t.Errorf("peak memory %d MB", peak>>20)
	}
}

func manyClient(t *testing.T, addr, name string, rows int, ready *sync.WaitGroup) error {
	signalled := false
	signal := func() {
		if !signalled {
			signalled = true
			ready.Done()
		}
	}
	defer signal()
	conn, err := client.Dial(t.Context(), client.Options{Addr: addr, Destination: name})
	if err != nil {
		return err
	}
	defer conn.Close()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err = conn.Subscribe(t.Context(), ""); err == nil {
			break
		}
		if time.Now().After(end) {
			return err
		}
	}
	signal()
	got := 0
	for end := time.Now().Add(90 * time.Second); got < rows; {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d rows came", got, rows)
		}
		m, err := conn.GetWithoutAck(t.Context(), 100, 200*time.Millisecond)
		if err != nil {
			return err
		}
		if m.ID == client.NoBatch {
			continue
		}
		entries, err := m.Decode()
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.GetEntryType() != canalpb.EntryType_ROWDATA || e.GetHeader().GetEventType() != canalpb.EventType_INSERT {
				continue
			}
			var rc canalpb.RowChange
			if err := proto.Unmarshal(e.GetStoreValue(), &rc); err != nil {
				return err
			}
			for _, r := range rc.GetRowDatas() {
				seq, _ := strconv.Atoi(r.GetAfterColumns()[0].GetValue())
				if seq != got+1 || r.GetAfterColumns()[1].GetValue() != name || e.GetHeader().GetSchemaName() != name {
					return fmt.Errorf("row %d of %s after row %d", seq, e.GetHeader().GetSchemaName(), got)
				}
				got = seq
			}
		}
		if err := conn.Ack(t.Context(), m.ID); err != nil {
			return err
		}
	}
	return nil
}

// A source with thousands of tables is ready soon.
func TestManyTables(t *testing.T) {
	const tables = 5000
	for _, v := range harness.Versions() {
		t.Run(string(v), func(t *testing.T) {
			s := harness.Shared(t, v)
			s.Exec(t, "DROP DATABASE IF EXISTS fault_tables", "CREATE DATABASE fault_tables")
			defer s.Exec(t, "DROP DATABASE fault_tables")
			sql := []string{"USE fault_tables"}
			for i := range tables {
				sql = append(sql, fmt.Sprintf("CREATE TABLE t%04d (id INT PRIMARY KEY, a VARCHAR(20), b DECIMAL(10,2), c DATETIME, d TEXT) ENGINE=%s", i, engine(s)))
			}
			s.Exec(t, sql...)
			begin := time.Now()
			c := harness.StartCanald(t, s, "", map[string]string{"tables": `canal.instance.filter.regex=fault_tables\\..*`})
			conn, err := client.Dial(t.Context(), client.Options{Addr: c.Addr, Destination: "tables"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for !strings.Contains(c.Log(), "the next step is binlog dump") {
				if time.Since(begin) > 30*time.Second {
					t.Fatalf("not ready\n%s", c.Log())
				}
				time.Sleep(10 * time.Millisecond)
			}
			took := time.Since(begin)
			if err := conn.Subscribe(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			now, _ := c.Memory(t)
			t.Logf("%d tables: ready in %s, %d MB", tables, took, now>>20)
			if took > 10*time.Second {
				t.Errorf("ready in %s", took)
			}
			s.Exec(t, "INSERT INTO fault_tables.t4999 VALUES (1,'x',1,NULL,'y')")
			for end := time.Now().Add(20 * time.Second); ; {
				m, err := conn.GetWithoutAck(t.Context(), 1, 100*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				if m.ID != client.NoBatch {
					return
				}
				if time.Now().After(end) {
					t.Fatal("the row did not come")
				}
			}
		})
	}
}

// engine is one whose tables are made quickly.
func engine(s *harness.Server) string {
	if s.MySQL() && s.AtLeast(8, 0) {
		return "InnoDB"
	}
	return "MyISAM"
}
