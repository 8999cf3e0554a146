package fault

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/client"
	"github.com/canald/canald/internal/zkconn"
	"github.com/canald/canald/test/harness"
)

const lazyMain = "canal.instance.global.lazy=true\n"

// state is what a server says of its only destination.
func state(t *testing.T, c *harness.Canald) string {
	t.Helper()
	_, text := get(t, c, "/instances")
	_, rest, _ := strings.Cut(text, `"state": "`)
	word, _, _ := strings.Cut(rest, `"`)
	return word
}

// TestLazy: a lazy destination leaves its source alone until the first client
// subscribes, whose first subscription is answered with success.
func TestLazy(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS fault_kill", "CREATE DATABASE fault_kill", "CREATE TABLE fault_kill.t (seq INT PRIMARY KEY)")
	c := harness.StartCanald(t, s, lazyMain, map[string]string{"kill": "canal.instance.filter.regex=fault_kill\\\\..*\ncanal.instance.mysql.slaveId=7001\n"})
	within(t, "it is idle", 5*time.Second, func() bool { return state(t, c) == "idle" })
	time.Sleep(time.Second)
	if code, text := get(t, c, "/readyz"); code != http.StatusOK {
		t.Errorf("it is not ready: %d %s", code, text)
	}
	if _, text := get(t, c, "/instances"); state(t, c) != "idle" || strings.Contains(text, `"source"`) {
		t.Errorf("nobody asked, and it is\n%s", text)
	}
	d := harness.JavaClient(t)
	d.Must(t, "connect "+strings.Replace(c.Addr, ":", " ", 1)+" kill")
	d.Must(t, "subscribe")
	if _, text := get(t, c, "/instances"); state(t, c) == "idle" || !strings.Contains(text, `"source"`) {
		t.Errorf("somebody asked, and it is\n%s", text)
	}
	s.Exec(t, "INSERT INTO fault_kill.t VALUES (1)")
	within(t, "the row comes", 10*time.Second, func() bool { return javaRows(t, d) > 0 })
}

// startLazy starts two canalds of one cluster with a lazy destination, and waits
// until both are members.
func startLazy(t *testing.T) (s *harness.Server, z *harness.ZooKeeper, zk *zkconn.Conn, servers []*harness.Canald) {
	t.Helper()
	s = harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS fault_kill", "CREATE DATABASE fault_kill", "CREATE TABLE fault_kill.t (seq INT PRIMARY KEY)")
	z = harness.StartZooKeeper(t, 1)
	zk = tree(t, z)
	for n := range 2 {
		servers = append(servers, harness.StartCanald(t, s,
			lazyMain+"canal.zookeeper.session.timeout=3000\ncanal.instance.global.spring.xml=classpath:spring/default-instance.xml\ncanal.zkServers="+z.Servers,
			map[string]string{"kill": fmt.Sprintf("canal.instance.filter.regex=fault_kill\\\\..*\ncanal.instance.mysql.slaveId=%d\n", 7001+n)}))
		awaitMember(t, zk, servers[n].Addr)
	}
	return s, z, zk, servers
}

// Java's cluster client finds a lazy destination by its members, and gets its rows.
func TestClusterLazyJavaClient(t *testing.T) {
	s, z, zk, servers := startLazy(t)
	d := harness.JavaClient(t)
	d.Must(t, "cluster "+z.Servers+" kill")
	began := time.Now()
	d.Must(t, "subscribe")
	t.Logf("it has subscribed after %s", time.Since(began))
	if owner := runningOwner(t.Context(), zk); owner != servers[0].Addr && owner != servers[1].Addr {
		t.Errorf("%q runs it", owner)
	}
	s.Exec(t, "INSERT INTO fault_kill.t VALUES (1)")
	within(t, "the row comes", 10*time.Second, func() bool { return javaRows(t, d) > 0 })
	time.Sleep(time.Second) // so long a page is the same
	for _, c := range servers {
		// After a refusal the client would have paused for 5 s.
		if _, page := get(t, c, "/metrics"); !strings.Contains(page, `canal_destination_state{destination="kill"`) || strings.Contains(page, `canal_instance_client_request_error{`) {
			t.Errorf("%s refused a request, or its page is not there:\n%s", c.Addr, page)
		}
	}
}

// javaRows counts the rows of one batch.
func javaRows(t *testing.T, d *harness.Driver) (rows int) {
	t.Helper()
	for _, e := range d.Must(t, "get 100 200").Entries {
		rows += len(e.Rows)
	}
	return rows
}

// TestClusterLazy: nobody runs a lazy destination until a cluster client comes, to
// any of its members; when the owner dies the other one, which nobody asked, takes it.
func TestClusterLazy(t *testing.T) {
	s, z, zk, servers := startLazy(t)
	time.Sleep(2 * time.Second)
	for _, c := range servers {
		if word := state(t, c); word != "idle" {
			t.Errorf("%s is %s before anybody asked", c.Addr, word)
		}
		if code, text := get(t, c, "/readyz"); code != http.StatusOK {
			t.Errorf("it is not ready: %d %s", code, text)
		}
	}
	owner := func() int {
		return slices.IndexFunc(servers, func(c *harness.Canald) bool { return c.Addr == runningOwner(t.Context(), zk) })
	}
	if n := owner(); n >= 0 {
		t.Errorf("server %d runs it", n)
	}
	got := make(chan int, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	began := time.Now()
	go func() {
		done <- goCluster(t, z).Consume(ctx, 100, 100*time.Millisecond, func(_ context.Context, m *client.Message) error {
			changes, err := m.Changes()
			for _, change := range changes {
				if change.Table == "t" {
					for range change.Rows {
						got <- 1
					}
				}
			}
			return err
		})
	}()
	within(t, "somebody runs it", 5*time.Second, func() bool { return owner() >= 0 })
	t.Logf("the first client is served %s after it came", time.Since(began))
	first := owner()
	await := func(what string) {
		t.Helper()
		select {
		case <-got:
		case <-time.After(15 * time.Second):
			t.Fatalf("never: %s\n%s\n%s", what, servers[0].Log(), servers[1].Log())
		}
	}
	within(t, "the client has subscribed", 5*time.Second, func() bool {
		_, err := zk.Get(t.Context(), "/otter/canal/destinations/kill/1001/cursor")
		return err == nil
	})
	s.Exec(t, "INSERT INTO fault_kill.t VALUES (1)")
	await("a row of the first server")
	within(t, "the other one stands by", 5*time.Second, func() bool { return state(t, servers[1-first]) == "standby" })
	servers[first].Kill()
	s.Exec(t, "INSERT INTO fault_kill.t VALUES (2)")
	await("a row of the second server")
	if n := owner(); n != 1-first {
		t.Errorf("server %d runs it", n)
	}
	cancel()
	<-done
}
