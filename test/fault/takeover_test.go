package fault

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/client"
	"github.com/canald/canald/test/harness"
)

// TestClusterStructures: the server that takes a destination over at an older
// cursor decodes rows with the columns of their time, also where nothing but names
// and their order differ.
func TestClusterStructures(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS fault_over", "CREATE DATABASE fault_over", "CREATE TABLE fault_over.a (id INT PRIMARY KEY, a1 INT, a2 INT)",
		"CREATE TABLE fault_over.b (id INT PRIMARY KEY, b1 INT, b2 INT)")
	z := harness.StartZooKeeper(t, 1)
	main := "canal.zkServers=" + z.Servers + "\ncanal.zookeeper.session.timeout=3000\ncanal.instance.global.spring.xml=classpath:spring/default-instance.xml\n"
	var servers []*harness.Canald
	for n := range 2 {
		servers = append(servers, harness.StartCanald(t, s, main, map[string]string{
			"over": fmt.Sprintf("canal.instance.filter.regex=fault_over\\\\..*\ncanal.instance.mysql.slaveId=%d\n", 7201+n),
		}))
	}
	connect := func(among ...*harness.Canald) (*client.Conn, *harness.Canald) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			for _, c := range among {
				conn, err := client.Dial(t.Context(), client.Options{Addr: c.Addr, Destination: "over"})
				if err != nil {
					t.Fatal(err)
				}
				if conn.Subscribe(t.Context(), "") == nil {
					t.Cleanup(func() { _ = conn.Close() })
					return conn, c
				}
				_ = conn.Close()
			}
			if time.Now().After(end) {
				t.Fatalf("nobody runs it\n%s\n%s", servers[0].Log(), servers[1].Log())
			}
		}
	}
	lines := func(conn *client.Conn, want int) (got []string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); len(got) < want; {
			m, err := conn.GetWithoutAck(t.Context(), 1000, 100*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if m.ID >= 0 {
				got = append(got, inserted(t, m)...)
			}
			if time.Now().After(end) {
				t.Fatalf("%v\n%s\n%s", got, servers[0].Log(), servers[1].Log())
			}
		}
		return got
	}
	conn, owner := connect(servers...)
	s.Exec(t, "INSERT INTO fault_over.a VALUES (1,2,3)", "INSERT INTO fault_over.b VALUES (1,2,3)",
		"RENAME TABLE fault_over.a TO fault_over.tmp, fault_over.b TO fault_over.a, fault_over.tmp TO fault_over.b",
		"INSERT INTO fault_over.a VALUES (4,5,6)", "ALTER TABLE fault_over.a MODIFY b1 INT AFTER b2", "INSERT INTO fault_over.a VALUES (7,8,9)",
		"ALTER TABLE fault_over.a DROP b1, ADD n INT", "INSERT INTO fault_over.a VALUES (10,11,12)", "DROP TABLE fault_over.b")
	want := []string{"a id=1 a1=2 a2=3", "b id=1 b1=2 b2=3", "a id=4 b1=5 b2=6", "a id=7 b2=8 b1=9", "a id=10 b2=11 n=12"}
	if got := lines(conn, len(want)); !slices.Equal(got, want) {
		t.Errorf("at the first owner:\n%s", strings.Join(got, "\n"))
	}
	owner.Kill() // nothing was acknowledged
	other := servers[0]
	if owner == servers[0] {
		other = servers[1]
	}
	conn, _ = connect(other)
	if got := lines(conn, len(want)); !slices.Equal(got, want) {
		t.Errorf("at the next owner:\n%s", strings.Join(got, "\n"))
	}
}
