package integration

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

// bigMB is the size of one transaction in MB; CANALD_BIG_MB asks for another.
func bigMB(t *testing.T) int {
	t.Helper()
	text := os.Getenv("CANALD_BIG_MB")
	if text == "" {
		return 200
	}
	mb, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return mb
}

// A transaction of any size passes through bounded memory.
func TestBigTransaction(t *testing.T) {
	const rowBytes, perMB, mostMemory = 100_000, 10, 150 << 20
	each(t, func(t *testing.T, s *harness.Server) {
		rows := bigMB(t) * perMB
		s.Exec(t, "DROP DATABASE IF EXISTS big1", "CREATE DATABASE big1", "CREATE TABLE big1.t (id INT PRIMARY KEY, v LONGTEXT)")
		c := harness.StartCanald(t, s, "", map[string]string{"big1": `canal.instance.filter.regex=big1\\..*`})
		conn, err := client.Dial(t.Context(), client.Options{Addr: c.Addr, Destination: "big1"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		eventually(t, "subscribe", func() bool { return conn.Subscribe(t.Context(), "") == nil })
		statements := []string{"BEGIN"}
		for id := 1; id <= rows; id++ {
			statements = append(statements, fmt.Sprintf("INSERT INTO big1.t VALUES (%d, REPEAT('%d', %d))", id, id%10, rowBytes))
		}
		s.Exec(t, append(statements, "COMMIT")...)
		next, ended := 1, false
		for end := time.Now().Add(3 * time.Minute); !ended; {
			if time.Now().After(end) {
				t.Fatalf("%d of %d rows came", next-1, rows)
			}
			m, err := conn.GetWithoutAck(t.Context(), 1000, 100*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			for _, raw := range m.Raw {
				var e canalpb.Entry
				if err := proto.Unmarshal(raw, &e); err != nil {
					t.Fatal(err)
				}
				for _, r := range rowsOf(t, []*canalpb.Entry{&e}) {
					if id := r.after[0].GetValue(); id != strconv.Itoa(next) || len(r.after[1].GetValue()) != rowBytes {
						t.Fatalf("row %s with %d bytes, want row %d", id, len(r.after[1].GetValue()), next)
					}
					next++
				}
				ended = ended || e.GetEntryType() == canalpb.EntryType_TRANSACTIONEND
			}
			if err := conn.Ack(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
		}
		if next != rows+1 {
			t.Errorf("%d rows came, want %d", next-1, rows)
		}
		if _, peak := c.Memory(t); peak > mostMemory {
			t.Errorf("canald used up to %d MB", peak>>20)
		} else {
			t.Logf("canald used up to %d MB", peak>>20)
		}
		s.Exec(t, "DROP DATABASE big1")
	})
}
