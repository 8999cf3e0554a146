package conformance

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	canalgo "github.com/withlin/canal-go/client"
	pbe "github.com/withlin/canal-go/protocol/entry"
	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/test/harness"
)

// drivers are the clients of other languages; they speak the same commands.
var drivers = []struct {
	name  string
	start func(testing.TB) *harness.Driver
}{
	{"java", harness.JavaClient},
	{"python", harness.PythonClient},
}

func TestClientsConsume(t *testing.T) {
	for _, v := range harness.Versions() {
		for _, d := range drivers {
			t.Run(string(v)+"/"+d.name, func(t *testing.T) {
				st := newStage(t, v, "conf_consume_"+d.name, "")
				client := d.start(t)
				client.Must(t, st.connect())
				client.Must(t, "subscribe")
				want := st.insert(t, 20)
				if got := collect(t, client, len(want)); !slices.Equal(got, want) {
					t.Fatalf("got %v, want %v", got, want)
				}
				if a := client.Must(t, "get 10 10"); a.BatchID > 0 {
					t.Fatalf("batch %d after everything was acknowledged: %v", a.BatchID, ids(a))
				}

				// A batch that is rolled back comes again, with what follows.
				want = st.insert(t, 3)
				first := batch(t, client, "get 1000 500")
				client.Must(t, "rollback")
				again := collect(t, client, len(want))
				if !slices.Equal(again, want) || len(ids(first)) == 0 || ids(first)[0] != want[0] {
					t.Fatalf("got %v, then %v after the rollback, want %v", ids(first), again, want)
				}

				// What was not acknowledged comes again after a reconnect, the rest not.
				want = st.insert(t, 2)
				batch(t, client, "get 1000 500")
				client.Must(t, "disconnect")
				client.Must(t, st.connect())
				client.Must(t, "subscribe")
				if got := collect(t, client, len(want)); !slices.Equal(got, want) {
					t.Fatalf("after the reconnect got %v, want %v", got, want)
				}
			})
		}
	}
}

func TestJavaClientSeesEntries(t *testing.T) {
	st := newStage(t, harness.Versions()[0], "conf_entries", "")
	client := harness.JavaClient(t)
	client.Must(t, st.connect())
	client.Must(t, "subscribe")
	st.s.Exec(t, "INSERT INTO conf_entries.t VALUES (1,'a')", "UPDATE conf_entries.t SET v=NULL WHERE id=1", "DELETE FROM conf_entries.t WHERE id=1")
	var entries []harness.Entry
	for end := time.Now().Add(20 * time.Second); len(entries) < 9 && time.Now().Before(end); {
		a := client.Must(t, "get 1000 200")
		entries = append(entries, a.Entries...)
		if a.BatchID > 0 {
			client.Must(t, fmt.Sprintf("ack %d", a.BatchID))
		}
	}
	var kinds []string
	for _, e := range entries {
		kinds = append(kinds, strings.TrimSuffix(e.EntryType+" "+e.RowEventType, " "))
	}
	want := []string{
		"TRANSACTIONBEGIN", "ROWDATA INSERT", "TRANSACTIONEND",
		"TRANSACTIONBEGIN", "ROWDATA UPDATE", "TRANSACTIONEND", "TRANSACTIONBEGIN", "ROWDATA DELETE", "TRANSACTIONEND",
	}
	if !slices.Equal(kinds, want) {
		t.Fatalf("got %q, want %q", kinds, want)
	}
	update := entries[4].Rows[0]
	before, after := update.Before[1], update.After[1]
	if before.Value != "a" || before.IsNull || before.Updated || !after.IsNull || !after.Updated || after.MySQLType != "varchar(40)" || after.SQLType != 12 {
		t.Errorf("update is %+v → %+v", before, after)
	}
	if !update.After[0].IsKey || update.After[0].Updated || entries[4].Props["rowsCount"] != "1" || entries[4].Table != "t" {
		t.Errorf("entry is %+v", entries[4])
	}
}

// Several batches may be outstanding; acks must come in order, and a wrong one
// is reported once, by the next call that has an answer.
func TestJavaClientBatches(t *testing.T) {
	st := newStage(t, harness.Versions()[0], "conf_batches", "canal.instance.memory.batch.mode=ITEMSIZE")
	client := harness.JavaClient(t)
	client.Must(t, st.connect())
	client.Must(t, "subscribe")
	want := st.insert(t, 4)
	var got []harness.Answer
	for range 4 {
		got = append(got, batch(t, client, "get 3 2000")) // begin, row, end
	}
	for n, a := range got {
		if !slices.Equal(ids(a), want[n:n+1]) {
			t.Fatalf("batch %d holds %v", n, ids(a))
		}
	}
	refuse := func(command, text string) {
		t.Helper()
		client.Must(t, command) // no answer is read
		if _, err := client.Do("get 3 10"); err == nil || !strings.Contains(err.Error(), text) {
			t.Fatalf("after %q: %v, want %q", command, err, text)
		}
	}
	id := func(n int) int64 { return got[n].BatchID }
	refuse(fmt.Sprintf("ack %d", id(1)), fmt.Sprintf("batchId:%d is not the firstly:%d", id(1), id(0)))
	client.Must(t, fmt.Sprintf("ack %d", id(0)))
	refuse(fmt.Sprintf("ack %d", id(0)), "is not exist , please check")
	refuse("ack 0", "batchId should assign value")
	client.Must(t, "ack -1")
	refuse(fmt.Sprintf("rollback %d", id(2)), fmt.Sprintf("batchId:%d is not the firstly:%d", id(2), id(1)))
	// Rolling back one batch takes the later ones along.
	client.Must(t, fmt.Sprintf("rollback %d", id(1)))
	refuse(fmt.Sprintf("ack %d", id(2)), "is not exist , please check")
	if again := collect(t, client, 3); !slices.Equal(again, want[1:]) {
		t.Fatalf("after the rollback got %v, want %v", again, want[1:])
	}
	client.Must(t, "unsubscribe")
	if _, err := client.Do("get 3 10"); err == nil || !strings.Contains(err.Error(), "should subscribe first") {
		t.Fatalf("get after unsubscribe: %v", err)
	}
}

func TestJavaClientIsRefused(t *testing.T) {
	st := newStage(t, harness.Versions()[0], "conf_refused",
		"canal.user=canal\ncanal.passwd=e3619321c1a937c46a0d8bd1dac39f93b27d4458")
	client := harness.JavaClient(t)
	if _, err := client.Do(st.connect() + " canal wrong"); err == nil || !strings.Contains(err.Error(), "auth failed for user:canal") {
		t.Fatalf("wrong password: %v", err)
	}
	client.Must(t, "disconnect")
	client.Must(t, st.connect()+" canal canal")
	if _, err := client.Do("subscribe ("); err == nil || !strings.Contains(err.Error(), "pattern") {
		t.Fatalf("filter that does not compile: %v", err)
	}
	client.Must(t, "subscribe")
	want := st.insert(t, 1)
	if got := collect(t, client, 1); !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	client.Must(t, "disconnect")
	host, port, _ := net.SplitHostPort(st.c.Addr)
	client.Must(t, "connect "+host+" "+port+" nosuch canal canal")
	if _, err := client.Do("subscribe"); err == nil || !strings.Contains(err.Error(), "destination:nosuch should start first") {
		t.Fatalf("unknown destination: %v", err)
	}
}

// A filter that a client gives replaces the configured one and survives a restart.
func TestClientFilterSurvives(t *testing.T) {
	st := newStage(t, harness.Versions()[0], "conf_filter", "")
	st.s.Exec(t, "CREATE TABLE conf_filter.u (id INT PRIMARY KEY)")
	client := harness.JavaClient(t)
	client.Must(t, st.connect())
	client.Must(t, `subscribe conf_filter\.u`)
	st.insert(t, 1)
	st.s.Exec(t, "INSERT INTO conf_filter.u VALUES (71)")
	if got := collect(t, client, 1); !slices.Equal(got, []string{"71"}) {
		t.Fatalf("got %v", got)
	}
	client.Must(t, "disconnect")
	st.c.Stop(t)
	st.c.Start(t)
	st.insert(t, 1)
	st.s.Exec(t, "INSERT INTO conf_filter.u VALUES (72)")
	client.Must(t, st.connect())
	if got := collect(t, client, 1); !slices.Equal(got, []string{"72"}) {
		t.Fatalf("after the restart got %v", got)
	}
}

func TestCanalGo(t *testing.T) {
	for _, v := range harness.Versions() {
		t.Run(string(v), func(t *testing.T) {
			st := newStage(t, v, "conf_go", "")
			host, port, _ := net.SplitHostPort(st.c.Addr)
			n, _ := strconv.Atoi(port)
			dial := func() *canalgo.SimpleCanalConnector {
				c := canalgo.NewSimpleCanalConnector(host, n, "", "", st.name, 60000, 60*60*1000)
				if err := c.Connect(); err != nil {
					t.Fatal(err)
				}
				if err := c.Subscribe(""); err != nil {
					t.Fatal(err)
				}
				return c
			}
			c := dial()
			get := func(want int, ack bool) []string {
				t.Helper()
				var got []string
				for end := time.Now().Add(20 * time.Second); len(got) < want && time.Now().Before(end); {
					m, err := c.GetWithOutAck(100, nil, nil)
					if err != nil {
						t.Fatal(err)
					}
					if m.Id == -1 {
						time.Sleep(20 * time.Millisecond)
						continue
					}
					got = append(got, goIDs(t, m.Entries)...)
					if ack {
						if err := c.Ack(m.Id); err != nil {
							t.Fatal(err)
						}
					}
				}
				return got
			}
			want := st.insert(t, 10)
			if got := get(10, true); !slices.Equal(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
			want = st.insert(t, 3)
			if got := get(3, false); !slices.Equal(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
			if err := c.RollBack(0); err != nil {
				t.Fatal(err)
			}
			if got := get(3, false); !slices.Equal(got, want) {
				t.Fatalf("after the rollback got %v, want %v", got, want)
			}
			if err := c.DisConnection(); err != nil {
				t.Fatal(err)
			}
			c = dial()
			if got := get(3, true); !slices.Equal(got, want) {
				t.Fatalf("after the reconnect got %v, want %v", got, want)
			}
		})
	}
}

func goIDs(t *testing.T, entries []pbe.Entry) []string {
	t.Helper()
	var list []string
	for i := range entries {
		if entries[i].GetEntryType() != pbe.EntryType_ROWDATA {
			continue
		}
		var rc pbe.RowChange
		if err := proto.Unmarshal(entries[i].GetStoreValue(), &rc); err != nil {
			t.Fatal(err)
		}
		for _, r := range rc.GetRowDatas() {
			list = append(list, r.GetAfterColumns()[0].GetValue())
		}
	}
	return list
}
