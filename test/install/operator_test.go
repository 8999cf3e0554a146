package install

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

// TestOperatorsHome: the shipped configuration, in which an operator changed what
// has to be changed (canal.zkServers, or nothing, in one file; slaveId, address,
// user and password in the other), starts, shows its start in the instance's log,
// serves, and stops, twice in a row.
func TestOperatorsHome(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	for _, zk := range []bool{false, true} {
		for _, shell := range shells {
			t.Run(fmt.Sprintf("%s, ZooKeeper %v", shell, zk), func(t *testing.T) {
				zookeeper := ""
				if zk {
					zookeeper = harness.StartZooKeeper(t, 1).Servers
				}
				h := operatorsHome(t, shell, s, zookeeper, 7301)
				for range 2 {
					h.want(0, "canal conf : ", nil, "startup.sh")
					h.runs(h.port)
					serves(t, h)
					log := must(t, h.dir, nil, "tail", "-200", h.path("logs", "example", "example.log"))
					for _, line := range []string{"start CannalInstance for 1-example", "--> init table filter : ^.*\\..*$", "start successful....", "find start position successfully"} {
						if !strings.Contains(log, line) {
							t.Errorf("%q is missing in the log:\n%s", line, log)
						}
					}
					began := time.Now()
					h.want(0, "", nil, "stop.sh")
					h.gone()
					if took := time.Since(began); took > 10*time.Second {
						t.Errorf("stop.sh took %s", took)
					}
					if err := os.RemoveAll(h.path("logs", "example")); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// operatorsHome is the shipped configuration with the changes that it needs.
func operatorsHome(t *testing.T, shell string, s *harness.Server, zookeeper string, slaveID int) *home {
	t.Helper()
	h := newHome(t, shell)
	if err := os.RemoveAll(h.path("conf")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(h.path("conf"), os.DirFS(filepath.Join(root, "conf"))); err != nil {
		t.Fatal(err)
	}
	// A test shares its machine: the ports are its own.
	change := map[string]string{
		"canal.port = 11111": fmt.Sprintf("canal.port = %d", h.port), "canal.metrics.pull.port = 11112": "canal.metrics.pull.port = 0", "canal.ip =\n": "canal.ip = 127.0.0.1\n",
	}
	if zookeeper != "" {
		change["canal.zkServers =\n"] = "canal.zkServers = " + zookeeper + "\n"
	}
	edit(t, h.path("conf", "canal.properties"), change)
	edit(t, h.path("conf", "example", "instance.properties"), map[string]string{
		"# canal.instance.mysql.slaveId=0":             fmt.Sprintf("canal.instance.mysql.slaveId=%d", slaveID),
		"canal.instance.master.address=127.0.0.1:3306": "canal.instance.master.address=" + s.Addr,
		"canal.instance.dbUsername=canal":              "canal.instance.dbUsername=" + s.User,
		"canal.instance.dbPassword=canal":              "canal.instance.dbPassword=" + s.Password,
	})
	return h
}

// TestOperatorsCluster: two servers with such a configuration, the same
// canal.zkServers and different slaveIds. The one that runs the instance is killed,
// again and again, and started again; a client gets every row.
func TestOperatorsCluster(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS operated", "CREATE DATABASE operated", "CREATE TABLE operated.t (seq INT PRIMARY KEY)")
	z := harness.StartZooKeeper(t, 1)
	homes := map[string]*home{}
	for n := range 2 {
		h := operatorsHome(t, "/bin/sh", s, z.Servers, 7301+n)
		h.want(0, "canal conf : ", nil, "startup.sh")
		h.runs(h.port)
		homes[fmt.Sprintf("127.0.0.1:%d", h.port)] = h
	}
	cluster, err := client.NewCluster(client.ClusterOptions{ZooKeeper: z.Servers, Options: client.Options{Destination: "example"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var highest, missing atomic.Int64
	subscribed := make(chan struct{}, 100)
	wg.Go(func() {
		for ctx.Err() == nil {
			conn, err := cluster.Connect(ctx)
			if err != nil {
				continue
			}
			subscribed <- struct{}{}
			for err == nil {
				err = follow(ctx, conn, &highest, &missing)
			}
			_ = conn.Close()
		}
	})
	select {
	case <-subscribed:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody is served")
	}
	next := int64(1)
	insert := func(rows int) {
		t.Helper()
		for range rows {
			s.Exec(t, fmt.Sprintf("INSERT INTO operated.t VALUES (%d)", next))
			next++
		}
	}
	arrive := func() {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); highest.Load() < next-1; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d of %d rows", highest.Load(), next-1)
			}
		}
	}
	for range 4 {
		insert(30)
		arrive()
		h := homes[ownerOf(t, z)]
		if h == nil {
			t.Fatal("nobody runs it")
		}
		insert(10) // some of it is on its way
		if err := syscall.Kill(h.pid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		insert(10)
		arrive()
		t.Logf("all rows are here %s after the death", time.Since(began))
		h.want(0, "canal conf : ", nil, "startup.sh")
		h.runs(h.port)
		time.Sleep(500 * time.Millisecond)
	}
	if n := missing.Load(); n > 0 {
		t.Errorf("%d rows are missing", n)
	}
	for _, h := range homes {
		h.want(0, "", nil, "stop.sh")
	}
}

// follow takes one batch, and counts numbers that were passed over.
func follow(ctx context.Context, conn *client.Conn, highest, missing *atomic.Int64) error {
	m, err := conn.GetWithoutAck(ctx, 100, 50*time.Millisecond)
	if err != nil || m.ID == client.NoBatch {
		return err
	}
	changes, err := m.Changes()
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.Table != "t" || c.Schema != "operated" || c.Kind != canalpb.EventType_INSERT {
			continue
		}
		for _, r := range c.Rows {
			seq, err := r.After.Int("seq")
			if err != nil {
				return err
			}
			if h := highest.Load(); seq > h {
				missing.Add(seq - h - 1)
				highest.Store(seq)
			}
		}
	}
	return conn.Ack(ctx, m.ID)
}

// ownerOf is who runs example.
func ownerOf(t *testing.T, z *harness.ZooKeeper) string {
	t.Helper()
	out := must(t, t.TempDir(), nil, program, "cluster", "status", "--json", "--servers", z.Servers)
	var s struct{ Destinations []struct{ Owner string } }
	if err := json.Unmarshal([]byte(out), &s); err != nil || len(s.Destinations) != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	return s.Destinations[0].Owner
}

// edit replaces lines of a shipped file, each of which has to be there.
func edit(t *testing.T, path string, lines map[string]string) {
	t.Helper()
	text := read(t, path)
	for from, to := range lines {
		if !strings.Contains(text, from) {
			t.Fatalf("%s has no line %q", path, from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	write(t, path, text)
}

// serves waits until a client may subscribe.
func serves(t *testing.T, h *home) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := client.Dial(t.Context(), client.Options{Addr: fmt.Sprintf("127.0.0.1:%d", h.port), Destination: "example"})
		if err == nil {
			err = conn.Subscribe(t.Context(), "")
			_ = conn.Close()
		}
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody is served: %v\n%s", err, read(t, h.path("logs", "canal", "canal.log")))
		}
	}
}
