package fault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/canald/canald/client"
	"github.com/canald/canald/test/harness"
)

// The owner that is cut off from ZooKeeper, and not from its clients, stops to
// answer before another may begin.
func TestClusterOwnerCutOff(t *testing.T) {
	for _, way := range []struct {
		name string
		part func(p *harness.Proxy)
	}{
		{"cut", (*harness.Proxy).Cut},
		{"stalled", (*harness.Proxy).Stall},                // half open: nobody is told of an end
		{"answers stalled", (*harness.Proxy).StallAnswers}, // ZooKeeper still hears it
	} {
		t.Run(way.name, func(t *testing.T) {
			c := startCluster(t, 2*time.Second, 1)
			n := c.leader()
			way.part(c.proxies[n])
			c.moved(n, 15*time.Second)
			c.proxies[n].Heal()
			time.Sleep(3 * time.Second)
			if c.leader() == n {
				t.Error("it took the destination back")
			}
			c.finish()
			if over := c.witness.overlaps(n); over > 0 {
				t.Errorf("the old owner answered %d times after the new one", over)
			}
			c.servers[1-n].Stop(t)
			c.await("it takes part again", 5*time.Second, func() bool { return c.owner() == c.servers[n].Addr })
		})
	}
}

// A ZooKeeper that is slow, though not too slow, moves nothing.
func TestClusterSlowZooKeeper(t *testing.T) {
	c := startCluster(t, 3*time.Second, 1)
	n := c.leader()
	for _, p := range c.proxies {
		p.Delay(200 * time.Millisecond)
	}
	time.Sleep(6 * time.Second)
	if c.leader() != n {
		t.Error("the destination moved")
	}
	if log := c.servers[n].Log(); strings.Contains(log, "lease lost") {
		t.Error(log)
	}
	if gap := c.finish(); gap > time.Second {
		t.Errorf("the client got nothing for %s", gap)
	}
}

// TestClusterClientsCutOff: an owner that clients cannot reach, though ZooKeeper
// does, stays the owner; when they can again, or it is told to give the destination
// away, the Go cluster client goes on where it was.
func TestClusterClientsCutOff(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS fault_kill", "CREATE DATABASE fault_kill", "CREATE TABLE fault_kill.t (seq INT PRIMARY KEY, v VARCHAR(100))")
	z := harness.StartZooKeeper(t, 1)
	zk := tree(t, z)
	// Clients are told an address at which a proxy stands before the server.
	const told = "127.0.0.2"
	var proxies []*harness.Proxy
	for n := range 2 {
		c := harness.StartCanald(t, s, "canal.register.ip="+told+"\ncanal.zookeeper.session.timeout=3000\ncanal.zookeeper.flush.period=100\n"+
			"canal.instance.global.spring.xml=classpath:spring/default-instance.xml\ncanal.zkServers="+z.Servers,
			map[string]string{"kill": fmt.Sprintf("canal.instance.filter.regex=fault_kill\\\\..*\ncanal.instance.mysql.slaveId=%d\n", 7001+n)})
		_, port, _ := net.SplitHostPort(c.Addr)
		p := harness.StartProxyAt(t, net.JoinHostPort(told, port), c.Addr)
		proxies = append(proxies, p)
		awaitMember(t, zk, p.Addr)
	}
	leader := func() int {
		return slices.IndexFunc(proxies, func(p *harness.Proxy) bool { return p.Addr == runningOwner(t.Context(), zk) })
	}
	within(t, "somebody runs it", 5*time.Second, func() bool { return leader() >= 0 })
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	reader := &killReader{t: t}
	var highest atomic.Int64
	cluster := goCluster(t, z)
	wg.Go(func() {
		_ = cluster.Consume(ctx, 20, 50*time.Millisecond, func(_ context.Context, m *client.Message) error {
			entries, err := m.Decode()
			for _, e := range entries {
				err = errors.Join(err, reader.take(e))
			}
			highest.Store(int64(reader.highest))
			if err != nil {
				t.Error(err)
			}
			return nil
		})
	})
	within(t, "the client has subscribed", 10*time.Second, func() bool {
		_, err := zk.Get(ctx, "/otter/canal/destinations/kill/1001/cursor")
		return err == nil
	})
	var written atomic.Int64
	writing, stop := context.WithCancel(ctx)
	failed := make(chan error, 1)
	wg.Go(func() { failed <- write(writing, s, &written) })
	flows := func(what string) time.Duration {
		t.Helper()
		target := written.Load() + 20
		return within(t, what, 15*time.Second, func() bool { return highest.Load() >= target })
	}
	flows("rows come")
	n := leader()
	for _, way := range []func(){proxies[n].Cut, proxies[n].Stall, proxies[n].StallAnswers} {
		way()
		time.Sleep(4 * time.Second) // more than the session
		if leader() != n {
			t.Fatal("an owner that ZooKeeper reaches lost the destination")
		}
		proxies[n].Heal()
		t.Logf("rows came %s after the way was free again", flows("rows come again"))
	}
	proxies[n].Stall()
	session, _ := zk.Session()
	if _, err := zk.Set(ctx, session.ID, clusterRunning, fmt.Appendf(nil, `{"active":false,"address":%q}`, proxies[n].Addr), -1); err != nil {
		t.Fatal(err)
	}
	t.Logf("rows came %s after it was told to give the destination away", flows("rows come from the other server"))
	if leader() != 1-n {
		t.Errorf("the owner is %d", leader())
	}
	stop()
	if err := <-failed; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	within(t, "all rows have come", 20*time.Second, func() bool { return highest.Load() >= written.Load() })
	cancel()
	wg.Wait()
	reader.check(int(written.Load()))
	t.Logf("%d rows written, %d received, %d of them again", written.Load(), len(reader.rows), reader.repeats)
}

// A cut that is shorter than the session suspends the owner at most.
func TestClusterShortCut(t *testing.T) {
	c := startCluster(t, 6*time.Second, 1)
	n := c.leader()
	before, err := c.zk.Get(t.Context(), clusterRunning)
	if err != nil {
		t.Fatal(err)
	}
	c.proxies[n].Cut()
	time.Sleep(4500 * time.Millisecond)
	if log := c.servers[n].Log(); !strings.Contains(log, "lease suspended") {
		t.Errorf("not suspended:\n%s", log)
	}
	c.proxies[n].Heal()
	time.Sleep(3 * time.Second)
	after, err := c.zk.Get(t.Context(), clusterRunning)
	if err != nil || after.Epoch != before.Epoch {
		t.Errorf("epoch %d before and %d after, %v", before.Epoch, after.Epoch, err)
	}
	if log := c.servers[n].Log(); strings.Contains(log, "stop CannalInstance") {
		t.Error("the instance was started anew")
	}
	c.finish()
}
