package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/canald/canald/internal/zkconn"
	"github.com/canald/canald/test/harness"
)

// rounds is how often a fault is made: CANALD_FAULT_ROUNDS, else the usual number.
func rounds(t *testing.T, usual int) int {
	t.Helper()
	text := os.Getenv("CANALD_FAULT_ROUNDS")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// javaReader is the unmodified Java cluster client, which gets and acknowledges
// without end.
type javaReader struct {
	d *harness.Driver

	mu                        sync.Mutex
	rows, again, highest, gap int // gap is the first number after which some were missing when it came
	last                      time.Time
	longest                   time.Duration
	late                      string // the error that came last
}

func (r *javaReader) run(ctx context.Context) {
	for ctx.Err() == nil {
		a, err := r.d.Do("get 200 200")
		if err != nil {
			r.mu.Lock()
			r.late = err.Error()
			r.mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			continue
		}
		r.take(a)
		if a.BatchID > 0 {
			if _, err := r.d.Do(fmt.Sprintf("ack %d", a.BatchID)); err != nil {
				r.mu.Lock()
				r.late = err.Error()
				r.mu.Unlock()
			}
		}
	}
}

func (r *javaReader) take(a harness.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range a.Entries {
		for _, row := range e.Rows {
			if e.Table != "t" || len(row.After) == 0 {
				continue
			}
			seq, err := strconv.Atoi(row.After[0].Value)
			if err != nil {
				continue
			}
			r.rows++
			switch {
			case seq <= r.highest:
				r.again++
				continue
			case seq > r.highest+1 && r.gap == 0:
				r.gap = seq
			}
			now := time.Now()
			if !r.last.IsZero() {
				r.longest = max(r.longest, now.Sub(r.last))
			}
			r.highest, r.last = seq, now
		}
	}
}

func (r *javaReader) reached() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.highest
}

// runningOwner is the address in the running node; empty when there is none.
func runningOwner(ctx context.Context, zk *zkconn.Conn) string {
	n, err := zk.Get(ctx, clusterRunning)
	if err != nil {
		return ""
	}
	return ownerOf(n.Data)
}

func awaitMember(t *testing.T, zk *zkconn.Conn, address string) {
	t.Helper()
	within(t, address+" is a member", 10*time.Second, func() bool {
		names, err := zk.Children(t.Context(), "/otter/canal/destinations/kill/cluster")
		return err == nil && slices.Contains(names, address)
	})
}

// serveJava starts a whole Java server that takes part in the election.
func serveJava(t *testing.T, s *harness.Server, z *harness.ZooKeeper, zk *zkconn.Conn) (java *harness.Driver, address string) {
	t.Helper()
	address = "127.0.0.1:" + strconv.Itoa(harness.FreePort())
	java = harness.JavaServer(t)
	java.Must(t, fmt.Sprintf(`serve %s kill %s %s %s %s %d fault_kill\..*`, z.Servers, address, s.Addr, s.User, s.Password, 7100+harness.FreePort()%1000))
	awaitMember(t, zk, address)
	return java, address
}

// TestClusterKillBesideJava: a canald and a Java server die in turn, each while it
// runs the destination, and the other one takes it five seconds after the
// session's end.
func TestClusterKillBesideJava(t *testing.T) {
	s := harness.Shared(t, harness.MySQL80)
	s.Exec(t, "DROP DATABASE IF EXISTS fault_kill", "CREATE DATABASE fault_kill", "CREATE TABLE fault_kill.t (seq INT PRIMARY KEY, v VARCHAR(100))")
	z := harness.StartZooKeeper(t, 1, "maxSessionTimeout=6000") // Java asks for 90 s
	zk := tree(t, z)
	c := harness.StartCanald(t, s, javaPeerMain+z.Servers, map[string]string{"kill": javaPeerInstance})
	within(t, "canald runs it", 10*time.Second, func() bool { return runningOwner(t.Context(), zk) == c.Addr })
	java, address := serveJava(t, s, z, zk)

	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var written atomic.Int64
	reader := &killReader{t: t, find: func() string { return runningOwner(ctx, zk) }}
	reader.reconnect(ctx)
	writing, stop := context.WithCancel(ctx)
	writer, read := make(chan error, 1), make(chan error, 1)
	wg.Go(func() { writer <- write(writing, s, &written) })
	wg.Go(func() { read <- reader.run(ctx, &written, writer) })
	time.Sleep(2 * time.Second)

	c.Kill()
	toJava := within(t, "the Java server runs it", 20*time.Second, func() bool { return runningOwner(ctx, zk) == address })
	time.Sleep(3 * time.Second)
	c.Start(t)
	awaitMember(t, zk, c.Addr)
	time.Sleep(time.Second)
	java.Kill()
	second := time.Now()
	toUs := within(t, "canald runs it again", 20*time.Second, func() bool { return runningOwner(ctx, zk) == c.Addr })
	time.Sleep(2 * time.Second)
	stop()
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	reader.check(int(written.Load()))
	at := slices.IndexFunc(reader.rows, func(r received) bool { return r.at.After(second.Add(-time.Second)) })
	gapToJava, gapToUs := longestGap(reader.rows[:at]), longestGap(reader.rows[at:])
	t.Logf("%d rows written, %d received, %d of them again; Java took it after %s, gap %s; canald after %s, gap %s", written.Load(), len(reader.rows), reader.repeats, toJava, gapToJava, toUs, gapToUs)
	// Java's own start comes on top, and is not ours to bound tightly.
	if gapToUs > 12*time.Second || gapToJava > 15*time.Second {
		t.Error("the client got nothing for too long")
	}
}

// The canald beside a Java server.
const (
	javaPeerMain     = "canal.zookeeper.session.timeout=6000\ncanal.zookeeper.flush.period=100\ncanal.instance.global.spring.xml=classpath:spring/default-instance.xml\ncanal.zkServers="
	javaPeerInstance = "canal.instance.filter.regex=fault_kill\\\\..*\ncanal.instance.mysql.slaveId=7001\n"
)

// TestClusterJavaServer: a whole Java server and canald take one destination over
// from each other under load, in both directions, and the Java cluster client gets
// every row.
func TestClusterJavaServer(t *testing.T) {
	s := harness.Shared(t, harness.MySQL80) // newer ones do not know what this server asks
	s.Exec(t, "DROP DATABASE IF EXISTS fault_kill", "CREATE DATABASE fault_kill", "CREATE TABLE fault_kill.t (seq INT PRIMARY KEY, v VARCHAR(100))")
	z := harness.StartZooKeeper(t, 1)
	zk := tree(t, z)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	owner := func() string { return runningOwner(ctx, zk) }
	member := func(address string) { awaitMember(t, zk, address) }
	serveJava := func() (*harness.Driver, string) { return serveJava(t, s, z, zk) }
	java, address := serveJava()
	within(t, "the Java server runs it", 20*time.Second, func() bool { return owner() == address && java.Must(t, "look").Active })

	c := harness.StartCanald(t, s, javaPeerMain+z.Servers, map[string]string{"kill": javaPeerInstance})
	reader := &javaReader{d: harness.JavaClient(t)}
	reader.d.Must(t, "cluster "+z.Servers+" kill")
	reader.d.Must(t, "subscribe")
	wg.Go(func() { reader.run(ctx) })
	var written atomic.Int64
	writing, stop := context.WithCancel(ctx)
	failed := make(chan error, 1)
	wg.Go(func() { failed <- write(writing, s, &written) })
	flows := func(what string) {
		t.Helper()
		target := int(written.Load()) + 200
		within(t, "the client gets rows from "+what, 40*time.Second, func() bool { return reader.reached() >= target })
	}
	flows("the Java server")
	// One that goes before it has saved a client's first cursor leaves none, and the
	// next server, Java or not, begins at the end of the binlog.
	within(t, "the Java server has saved a cursor", 10*time.Second, func() bool {
		n, err := zk.Get(ctx, "/otter/canal/destinations/kill/1001/cursor")
		return err == nil && n.Exists
	})
	var toUs, toJava []time.Duration
	n := rounds(t, 1)
	for range n {
		java.Must(t, "leave")
		toUs = append(toUs, within(t, "canald runs it", 20*time.Second, func() bool { return owner() == c.Addr }))
		flows("canald")
		java.Kill()
		java, address = serveJava()
		c.Stop(t)
		toJava = append(toJava, within(t, "the Java server runs it", 30*time.Second, func() bool { return owner() == address }))
		flows("the Java server that came after")
		c.Start(t)
		member(c.Addr)
	}
	stop()
	if err := <-failed; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	within(t, "the client has all rows", 60*time.Second, func() bool { return reader.reached() >= int(written.Load()) })
	reader.mu.Lock()
	defer reader.mu.Unlock()
	if reader.gap != 0 {
		t.Errorf("rows are missing before %d", reader.gap)
	}
	t.Logf("%d rounds, %d rows written, %d received, %d of them again, longest gap %s; taken over by canald after %s, by Java after %s; last error of the client: %q",
		n, written.Load(), reader.rows, reader.again, reader.longest, toUs, toJava, reader.late)
	cancel()
}
