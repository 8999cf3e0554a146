package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/client"
	"github.com/canald/canald/internal/zkconn"
	"github.com/canald/canald/test/harness"
)

const clusterRunning = "/otter/canal/destinations/kill/running"

// clusterScene is two canalds in front of one source, with a writer, a client
// that follows the running node, and a witness who asks both all the time.
type clusterScene struct {
	t         *testing.T
	s         *harness.Server
	z         *harness.ZooKeeper
	zk        *zkconn.Conn
	servers   []*harness.Canald
	proxies   []*harness.Proxy // of each server, before ZooKeeper; with one ZooKeeper only
	reader    *killReader
	written   atomic.Int64
	writer    chan error
	read      chan error
	stop      context.CancelFunc // ends the writer
	witness   witness
	elsewhere atomic.Value // the address that the client is told when the tree is not asked any more
}

// witness notes which server answered when.
type witness struct {
	mu      sync.Mutex
	answers []answered
}

type answered struct {
	server     int
	asked, got time.Time
}

// ask asks a server for a subscription again and again: only who runs the
// destination says yes.
func (w *witness) ask(ctx context.Context, server int, addr string) {
	var conn *client.Conn
	for ctx.Err() == nil {
		asked := time.Now()
		err := error(nil)
		if conn == nil {
			conn, err = client.Dial(ctx, client.Options{Addr: addr, Destination: "kill"})
		}
		if err == nil {
			if err = conn.Subscribe(ctx, ""); err == nil {
				w.mu.Lock()
				w.answers = append(w.answers, answered{server, asked, time.Now()})
				w.mu.Unlock()
			}
		}
		if err != nil && conn != nil && !strings.Contains(err.Error(), "start first") {
			_ = conn.Close()
			conn = nil
		}
		select {
		case <-time.After(3 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if conn != nil {
		_ = conn.Close()
	}
}

// overlaps counts answers to questions that were asked after the next owner had
// answered its first. It is for scenes in which the destination moves once.
func (w *witness) overlaps(first int) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := slices.IndexFunc(w.answers, func(a answered) bool { return a.server != first })
	if at < 0 {
		return 0
	}
	for _, a := range w.answers {
		if a.server == first && a.asked.After(w.answers[at].got) {
			n++
		}
	}
	return n
}

// startCluster starts all of it, with one ZooKeeper or three, and more lines for the
// instance's file.
func startCluster(t *testing.T, timeout time.Duration, zookeepers int, properties ...string) *clusterScene {
	return startWiredCluster(t, "default-instance.xml", timeout, zookeepers, properties...)
}

func startWiredCluster(t *testing.T, wiring string, timeout time.Duration, zookeepers int, properties ...string) *clusterScene {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS fault_kill", "CREATE DATABASE fault_kill", "CREATE TABLE fault_kill.t (seq INT PRIMARY KEY, v VARCHAR(100))")
	c := &clusterScene{t: t, s: s, z: harness.StartZooKeeper(t, zookeepers), writer: make(chan error, 1), read: make(chan error, 1)}
	servers, err := zkconn.ParseServers(c.z.Servers)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.zk = zkconn.New(zkconn.Config{Servers: servers, Timeout: 5 * time.Second}, zap.NewNop())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.zk.Run(ctx) })
	for n := range 2 {
		way := c.z.Servers
		if zookeepers == 1 {
			c.proxies = append(c.proxies, harness.StartProxy(t, way))
			way = c.proxies[n].Addr
		}
		main := fmt.Sprintf("canal.zkServers=%s\ncanal.zookeeper.session.timeout=%d\ncanal.zookeeper.flush.period=100\ncanal.file.flush.period=100\ncanal.instance.global.spring.xml=classpath:spring/%s\n",
			way, timeout.Milliseconds(), wiring)
		c.servers = append(c.servers, harness.StartCanald(t, s, main, map[string]string{
			"kill": fmt.Sprintf("canal.instance.filter.regex=fault_kill\\\\..*\ncanal.instance.mysql.slaveId=%d\n%s\n", 7001+n, strings.Join(properties, "\n")),
		}))
	}
	c.reader = &killReader{t: t, find: c.owner}
	c.await("somebody runs the destination", 15*time.Second, func() bool { return c.owner() != "" })
	c.reader.reconnect(t.Context())
	writing, stop := context.WithCancel(ctx)
	c.stop = stop
	go func() { c.writer <- write(writing, s, &c.written) }()
	go func() { c.read <- c.reader.run(ctx, &c.written, c.writer) }()
	for n, server := range c.servers {
		wg.Go(func() { c.witness.ask(writing, n, server.Addr) })
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	time.Sleep(time.Second)
	return c
}

// owner is the address in the running node; empty when there is none.
func (c *clusterScene) owner() string {
	if addr, ok := c.elsewhere.Load().(string); ok {
		return addr
	}
	n, err := c.zk.Get(context.Background(), clusterRunning)
	if err != nil {
		return ""
	}
	return ownerOf(n.Data)
}

// ownerOf is the address in a running node.
func ownerOf(data []byte) string {
	var r struct{ Address string }
	_ = json.Unmarshal(data, &r)
	return r.Address
}

// leader is the number of the server that runs the destination.
func (c *clusterScene) leader() int {
	c.t.Helper()
	owner := c.owner()
	n := slices.IndexFunc(c.servers, func(s *harness.Canald) bool { return s.Addr == owner })
	if n < 0 {
		c.t.Fatalf("no server of ours has the address %q", owner)
	}
	return n
}

func (c *clusterScene) await(what string, limit time.Duration, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	for _, s := range c.servers {
		c.t.Log(s.Log())
	}
	c.t.Fatalf("not within %s: %s", limit, what)
}

// moved waits until the client gets rows from another than the given server, and
// returns how long the client got nothing.
func (c *clusterScene) moved(from int, limit time.Duration) {
	c.t.Helper()
	other := c.servers[1-from].Addr
	c.await("the other server runs the destination", limit, func() bool { return c.owner() == other })
	time.Sleep(1500 * time.Millisecond)
}

// finish ends the writer and checks what the client got. It returns the longest
// time without a new row.
func (c *clusterScene) finish() time.Duration {
	c.t.Helper()
	c.stop()
	if err := <-c.read; err != nil {
		for _, s := range c.servers {
			c.t.Log(s.Log())
		}
		c.t.Fatal(err)
	}
	c.reader.check(int(c.written.Load()))
	longest := longestGap(c.reader.rows)
	c.t.Logf("%d rows written, %d received, %d of them again, longest gap %s", c.written.Load(), len(c.reader.rows), c.reader.repeats, longest)
	return longest
}

// thereAndBack kills the owner, starts it again, and stops the one that took over.
// It returns who runs the destination in the end, as in the beginning.
func (c *clusterScene) thereAndBack() (n int) {
	c.t.Helper()
	n = c.leader()
	c.servers[n].Kill()
	c.moved(n, 10*time.Second)
	c.servers[n].Start(c.t)
	time.Sleep(time.Second)
	c.servers[1-n].Stop(c.t)
	c.moved(1-n, 10*time.Second)
	c.finish()
	return n
}

// longestGap is the longest time between two new rows.
func longestGap(rows []received) (longest time.Duration) {
	highest, last := 0, time.Time{}
	for _, row := range rows {
		if row.seq <= highest {
			continue
		}
		if !last.IsZero() {
			longest = max(longest, row.at.Sub(last))
		}
		highest, last = row.seq, row.at
	}
	return longest
}

func TestClusterKill(t *testing.T) {
	c := startCluster(t, 6*time.Second, 1)
	n := c.leader()
	c.servers[n].Kill()
	c.moved(n, 10*time.Second)
	if gap := c.finish(); gap > 8*time.Second {
		t.Errorf("the client got nothing for %s", gap)
	}
}

// With the wiring that Canal ships, which keeps cursors in files, the next server
// goes on where the last one was, too, there and back.
func TestClusterFileWiring(t *testing.T) {
	c := startWiredCluster(t, "file-instance.xml", 3*time.Second, 1)
	n := c.thereAndBack()
	file := savedCursor(filepath.Join(c.servers[n].Home, "conf", "kill", "meta.dat"))
	node, err := c.zk.Get(t.Context(), "/otter/canal/destinations/kill/1001/cursor")
	if err != nil || file == "" {
		t.Fatalf("%q, %v", file, err)
	}
	if place, offset, _ := strings.Cut(file, ":"); !strings.Contains(string(node.Data), place) || !strings.Contains(string(node.Data), strings.TrimLeft(offset, "0")) {
		t.Errorf("the file holds %s, the tree %s", file, node.Data)
	}
}

// In GTID mode cursors in the tree carry sets, and the next owner goes on by them.
func TestClusterGTID(t *testing.T) {
	c := startCluster(t, 3*time.Second, 1, "canal.instance.gtidon=true")
	n := c.thereAndBack()
	node, err := c.zk.Get(t.Context(), "/otter/canal/destinations/kill/1001/cursor")
	if err != nil || !strings.Contains(string(node.Data), `"gtid":"`) || strings.Contains(string(node.Data), `"gtid":""`) {
		t.Errorf("%s, %v", node.Data, err)
	}
	if log := c.servers[n].Log(); strings.Contains(log, " ERROR ") {
		t.Errorf("%s", log)
	}
}

func TestClusterStop(t *testing.T) {
	c := startCluster(t, 20*time.Second, 1)
	n := c.leader()
	c.servers[n].Stop(t)
	c.moved(n, 5*time.Second)
	if gap := c.finish(); gap > time.Second {
		t.Errorf("the client got nothing for %s", gap)
	}
	if over := c.witness.overlaps(n); over > 0 {
		t.Errorf("the old owner answered %d times after the new one", over)
	}
}

func TestClusterRelease(t *testing.T) {
	c := startCluster(t, 20*time.Second, 1)
	n := c.leader()
	session, _ := c.zk.Session()
	if _, err := c.zk.Set(t.Context(), session.ID, clusterRunning, fmt.Appendf(nil, `{"active":false,"address":%q}`, c.servers[n].Addr), -1); err != nil {
		t.Fatal(err)
	}
	c.moved(n, 5*time.Second)
	if gap := c.finish(); gap > time.Second {
		t.Errorf("the client got nothing for %s", gap)
	}
	if over := c.witness.overlaps(n); over > 0 {
		t.Errorf("the old owner answered %d times after the new one", over)
	}
}

// A process that is killed and started again does not wait for its own session.
func TestClusterQuickRestart(t *testing.T) {
	c := startCluster(t, 30*time.Second, 1)
	n := c.leader()
	c.servers[n].Kill()
	c.servers[n].Start(t)
	c.await("somebody runs the destination", 5*time.Second, func() bool { return c.owner() != "" })
	time.Sleep(1500 * time.Millisecond)
	if gap := c.finish(); gap > 2*time.Second {
		t.Errorf("the client got nothing for %s", gap)
	}
}

func TestClusterCloseSession(t *testing.T) {
	c := startCluster(t, 30*time.Second, 1)
	n := c.leader()
	closeSession := func() (string, error) {
		out, err := exec.CommandContext(t.Context(), harness.Program(t), "--home", c.servers[n].Home, "cluster", "close-session").CombinedOutput()
		return string(out), err
	}
	if out, err := closeSession(); err == nil || !strings.Contains(out, "seems to run") {
		t.Errorf("the session of a live server: %v, %s", err, out)
	}
	c.servers[n].Kill()
	if out, err := closeSession(); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	c.moved(n, 2*time.Second)
	if out, err := closeSession(); err != nil || !strings.Contains(out, "no session") {
		t.Errorf("once more: %v, %s", err, out)
	}
	if gap := c.finish(); gap > 2*time.Second {
		t.Errorf("the client got nothing for %s", gap)
	}
}

// A server that was frozen for longer than its session answers nothing when it
// wakes up.
func TestClusterFreeze(t *testing.T) {
	c := startCluster(t, 2*time.Second, 1)
	n := c.leader()
	c.servers[n].Pause(t)
	c.moved(n, 10*time.Second)
	time.Sleep(time.Second)
	c.servers[n].Resume(t)
	time.Sleep(3 * time.Second)
	if c.leader() == n {
		t.Error("it took the destination back")
	}
	c.finish()
	if over := c.witness.overlaps(n); over > 0 {
		t.Errorf("the frozen server answered %d times after the new one", over)
	}
}

// A restart of ZooKeeper that is shorter than the session moves nothing and
// interrupts nobody.
func TestClusterZooKeeperRestart(t *testing.T) {
	c := startCluster(t, 20*time.Second, 1)
	n := c.leader()
	before, err := c.zk.Get(t.Context(), clusterRunning)
	if err != nil {
		t.Fatal(err)
	}
	c.z.Kill(0)
	time.Sleep(time.Second)
	c.z.Start(t, 0)
	c.await("the running node is there", 20*time.Second, func() bool { return c.owner() != "" })
	time.Sleep(2 * time.Second)
	after, err := c.zk.Get(t.Context(), clusterRunning)
	if err != nil || after.Epoch != before.Epoch || c.leader() != n {
		t.Errorf("epoch %d before and %d after, %v", before.Epoch, after.Epoch, err)
	}
	if gap := c.finish(); gap > time.Second {
		t.Errorf("the client got nothing for %s", gap)
	}
}

// ZooKeeper that has lost everything gets the cursors back from the owner.
func TestClusterZooKeeperWiped(t *testing.T) {
	c := startCluster(t, 3*time.Second, 1)
	c.z.Kill(0)
	c.z.Wipe(t, 0)
	c.z.Start(t, 0)
	c.await("somebody runs the destination", 30*time.Second, func() bool { return c.owner() != "" })
	time.Sleep(3 * time.Second)
	c.finish()
}

func TestClusterZooKeeperLeaderKilled(t *testing.T) {
	c := startCluster(t, 6*time.Second, 3)
	n := c.leader()
	c.z.Kill(c.z.Leader())
	time.Sleep(6 * time.Second)
	c.await("somebody runs the destination", 10*time.Second, func() bool { return c.owner() != "" })
	c.finish()
	if over := c.witness.overlaps(n); over > 0 {
		t.Errorf("the old owner answered %d times after the new one", over)
	}
}

// A server without ZooKeeper opens its port, answers nobody, says so and waits.
func TestClusterWithoutZooKeeper(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	z := harness.StartZooKeeper(t, 1)
	z.Kill(0)
	c := harness.StartCanald(t, s, "canal.zkServers="+z.Servers, map[string]string{"kill": ""})
	conn, err := client.Dial(t.Context(), client.Options{Addr: c.Addr, Destination: "kill"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Subscribe(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "destination:kill should start first") {
		t.Errorf("subscribe: %v", err)
	}
	(&clusterScene{t: t, servers: []*harness.Canald{c}}).await("the port for health is open", 5*time.Second, func() bool {
		conn, err := net.Dial("tcp", c.Metrics)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	if code, text := get(t, c, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "ZooKeeper") {
		t.Errorf("/readyz: %d %s", code, text)
	}
	z.Start(t, 0)
	for end := time.Now().Add(20 * time.Second); conn.Subscribe(t.Context(), "") != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not started\n%s", c.Log())
		}
	}
	if code, text := get(t, c, "/instances"); code != http.StatusOK || !strings.Contains(text, `"role":"leading"`) && !strings.Contains(text, `"role": "leading"`) {
		t.Errorf("/instances: %d %s", code, text)
	}
}

// get asks the port for metrics and health.
func get(t *testing.T, c *harness.Canald, path string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.Metrics+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	// The port for health opens a moment after the one for clients.
	resp, err := http.DefaultClient.Do(req)
	for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err = http.DefaultClient.Do(req)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// The unmodified Java cluster client finds the owner, and the next one, through
// the tree, and gets every row.
func TestClusterJavaClient(t *testing.T) {
	c := startCluster(t, 3*time.Second, 1)
	// The other client of the scene is in the way of one whose id is the same.
	c.finish()
	d := harness.JavaClient(t)
	d.Must(t, "cluster "+c.z.Servers+" kill")
	d.Must(t, "subscribe")
	c.s.Exec(t, "CREATE TABLE fault_kill.j (seq INT PRIMARY KEY)")
	const rows = 20
	got := map[string]int{}
	fetch := func(until int) {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); len(got) < until; {
			if time.Now().After(end) {
				t.Fatalf("only %d rows", len(got))
			}
			a := d.Must(t, "get 100 500")
			for _, e := range a.Entries {
				for _, r := range e.Rows {
					if e.Table == "j" && len(r.After) > 0 {
						got[r.After[0].Value]++
					}
				}
			}
			if a.BatchID > 0 {
				d.Must(t, fmt.Sprintf("ack %d", a.BatchID))
			}
		}
	}
	for seq := range rows {
		if seq == rows/2 {
			fetch(seq)
			c.servers[c.leader()].Kill()
		}
		c.s.Exec(t, fmt.Sprintf("INSERT INTO fault_kill.j VALUES (%d)", seq))
	}
	fetch(rows)
	if err := func() error { _, err := d.Do("disconnect"); return err }(); err != nil {
		t.Error(err)
	}
	t.Logf("%d rows", len(got))
}

// tree is a connection to ZooKeeper until the test ends.
func tree(t *testing.T, z *harness.ZooKeeper) *zkconn.Conn {
	t.Helper()
	servers, err := zkconn.ParseServers(z.Servers)
	if err != nil {
		t.Fatal(err)
	}
	zk := zkconn.New(zkconn.Config{Servers: servers}, zap.NewNop())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = zk.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return zk
}

// within waits, and tells how long that took.
func within(t *testing.T, what string, limit time.Duration, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < limit {
		if ok() {
			return time.Since(began)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("not within %s: %s", limit, what)
	return 0
}

// Beside the unmodified election of a Java server each takes over from the
// other, by Java's rules.
func TestClusterBesideJava(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	z := harness.StartZooKeeper(t, 1)
	zk := tree(t, z)
	const javaAddress = "127.0.0.1:21999"
	java := harness.JavaElection(t)
	java.Must(t, "join "+z.Servers+" kill "+javaAddress)
	javaRuns := func() bool { return java.Must(t, "look").Active }
	within(t, "Java runs it", 10*time.Second, javaRuns)

	c := harness.StartCanald(t, s, "canal.zookeeper.session.timeout=6000\ncanal.zkServers="+z.Servers, map[string]string{"kill": ""})
	owner := func() string {
		n, err := zk.Get(context.Background(), clusterRunning)
		if err != nil {
			return ""
		}
		return string(n.Data)
	}
	within(t, "canald is a member", 5*time.Second, func() bool {
		names, err := zk.Children(context.Background(), "/otter/canal/destinations/kill/cluster")
		return err == nil && slices.Contains(names, c.Addr) && slices.Contains(names, javaAddress)
	})
	time.Sleep(time.Second)
	if owner() != `{"active":true,"address":"`+javaAddress+`"}` {
		t.Fatalf("the owner is %s", owner())
	}
	look := &clusterScene{t: t, z: z}
	if d := look.status().Destinations[0]; d.Owner != javaAddress || d.OwnerKind != "java" || d.State != "running" || len(d.Members) != 2 {
		t.Errorf("status of Java's destination: %+v", d)
	}
	order := func(address string) {
		t.Helper()
		session, _ := zk.Session()
		if _, err := zk.Set(context.Background(), session.ID, clusterRunning, fmt.Appendf(nil, `{"active":false,"address":%q}`, address), -1); err != nil {
			t.Fatal(err)
		}
	}
	// Java's own release may be won by either, so it leaves.
	java.Must(t, "leave")
	took := within(t, "canald runs it", 15*time.Second, func() bool { return strings.Contains(owner(), c.Addr) })
	if took < 4900*time.Millisecond || took > 7*time.Second {
		t.Errorf("canald took over after %s, not Java's five seconds", took)
	}
	java.Must(t, "join "+z.Servers+" kill "+javaAddress)
	time.Sleep(time.Second)
	if javaRuns() {
		t.Error("both run it")
	}
	order(c.Addr)
	took = within(t, "Java runs it", 15*time.Second, javaRuns)
	if took < 4900*time.Millisecond || took > 7*time.Second {
		t.Errorf("Java took over after %s", took)
	}
	if !strings.Contains(owner(), javaAddress) {
		t.Errorf("the owner is %s", owner())
	}
	java.Kill() // its session is asked for as 90 s, and lasts that long
	c.Stop(t)
	if names, err := zk.Children(context.Background(), "/otter/canal/destinations/kill/cluster"); err != nil || slices.Contains(names, c.Addr) {
		t.Errorf("members left are %v, %v", names, err)
	}
}

// random makes numbers by a seed that is printed; CANALD_FAULT_SEED gives one.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CANALD_FAULT_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CANALD_FAULT_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// Everything at random, again and again; the seed is printed.
func TestClusterRandom(t *testing.T) {
	c := startCluster(t, 2*time.Second, 1)
	rng := random(t)
	some := func(most time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(most))) }
	counts := map[string]int{}
	for end := time.Now().Add(seconds(t, 30)); time.Now().Before(end); {
		n := rng.IntN(2)
		if owner := c.owner(); owner != "" && rng.IntN(4) > 0 {
			n = c.leader()
		}
		what := []string{"kill", "stop", "pause", "cut", "stall", "stall answers", "delay", "release", "restart ZooKeeper"}[rng.IntN(9)]
		counts[what]++
		switch what {
		case "kill":
			c.servers[n].Kill()
			time.Sleep(some(3 * time.Second))
			c.servers[n].Start(t)
		case "stop":
			c.servers[n].Stop(t)
			time.Sleep(some(time.Second))
			c.servers[n].Start(t)
		case "pause":
			c.servers[n].Pause(t)
			time.Sleep(some(5 * time.Second))
			c.servers[n].Resume(t)
		case "cut", "stall", "stall answers", "delay":
			switch what {
			case "cut":
				c.proxies[n].Cut()
			case "stall":
				c.proxies[n].Stall()
			case "stall answers":
				c.proxies[n].StallAnswers()
			case "delay":
				c.proxies[n].Delay(some(400 * time.Millisecond))
			}
			time.Sleep(some(5 * time.Second))
			c.proxies[n].Heal()
		case "release":
			session, _ := c.zk.Session()
			_, _ = c.zk.Set(t.Context(), session.ID, clusterRunning, fmt.Appendf(nil, `{"active":false,"address":%q}`, c.servers[n].Addr), -1)
		case "restart ZooKeeper":
			c.z.Kill(0)
			time.Sleep(some(3 * time.Second))
			c.z.Start(t, 0)
		}
		time.Sleep(500*time.Millisecond + some(2*time.Second))
	}
	c.await("somebody runs the destination", 30*time.Second, func() bool { return c.owner() != "" })
	time.Sleep(3 * time.Second)
	c.finish()
	t.Log(counts)
}

// An instance whose folder comes while two servers run is run by exactly one of
// them, with cursors in files; when its folder goes there, by the other.
func TestClusterAddedInstance(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	z := harness.StartZooKeeper(t, 1)
	var servers []*harness.Canald
	for range 2 {
		servers = append(servers, harness.StartCanald(t, s, "canal.auto.scan=true\ncanal.auto.scan.interval=1\ncanal.zkServers="+z.Servers, nil))
	}
	leading := func() (leaders []int) {
		for n, c := range servers {
			if _, text := get(t, c, "/instances"); strings.Contains(strings.ReplaceAll(text, " ", ""), `"role":"leading"`) {
				leaders = append(leaders, n)
			}
		}
		return leaders
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never: %s\n%s\n%s", what, servers[0].Log(), servers[1].Log())
			}
		}
	}
	// A client that waits for it since before it was there.
	s.Exec(t, "DROP DATABASE IF EXISTS fault_added", "CREATE DATABASE fault_added", "CREATE TABLE fault_added.t (id INT PRIMARY KEY)")
	cluster, err := client.NewCluster(client.ClusterOptions{ZooKeeper: z.Servers, Options: client.Options{Destination: "added"}})
	if err != nil {
		t.Fatal(err)
	}
	waiting, cancel := context.WithCancel(context.Background())
	got := make(chan string, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = cluster.Consume(waiting, 10, 50*time.Millisecond, func(_ context.Context, m *client.Message) error {
			changes, err := m.Changes()
			for _, change := range changes {
				if change.Schema == "fault_added" && len(change.Rows) > 0 {
					got <- change.Table
				}
			}
			return err
		})
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		_ = cluster.Close()
	})
	for n, c := range servers {
		c.Configure(t, s, "added", fmt.Sprintf("canal.instance.mysql.slaveId=%d\n", 7101+n))
	}
	await("one runs it", func() bool { return len(leading()) == 1 })
	zk := tree(t, z)
	await("the client has subscribed", func() bool { // it names its port then
		n, err := zk.Get(t.Context(), "/otter/canal/destinations/added/1001/running")
		return err == nil && strings.Contains(ownerOf(n.Data), ":")
	})
	s.Exec(t, "INSERT INTO fault_added.t VALUES (1)")
	select {
	case <-got:
	case <-time.After(10 * time.Second):
		t.Fatal("the client that waited gets no rows")
	}
	time.Sleep(3 * time.Second) // the other has found it by now
	first := leading()
	if len(first) != 1 {
		t.Fatalf("it is run by %v", first)
	}
	if code, text := get(t, servers[1-first[0]], "/readyz"); code != http.StatusOK {
		t.Errorf("a standby is not ready: %d %s", code, text)
	}
	if err := os.RemoveAll(filepath.Join(servers[first[0]].Home, "conf", "added")); err != nil {
		t.Fatal(err)
	}
	await("the other runs it", func() bool { l := leading(); return len(l) == 1 && l[0] == 1-first[0] })
	s.Exec(t, "INSERT INTO fault_added.t VALUES (2)")
	select {
	case <-got:
	case <-time.After(20 * time.Second):
		t.Fatal("the client gets no rows of the second server")
	}
}
