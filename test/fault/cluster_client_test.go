package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

func goCluster(t *testing.T, z *harness.ZooKeeper) *client.Cluster {
	t.Helper()
	c, err := client.NewCluster(client.ClusterOptions{ZooKeeper: z.Servers, Options: client.Options{Destination: "kill"}, SessionTimeout: 4 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestClusterGoClient: the Go cluster client follows the destination, and of two
// with one id one gets the rows, until it is gone.
func TestClusterGoClient(t *testing.T) {
	c := startCluster(t, 3*time.Second, 1)
	c.finish() // the other client of the scene has the same id
	c.s.Exec(t, "CREATE TABLE fault_kill.g (seq INT PRIMARY KEY)")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	got := [2]map[int64]int{{}, {}}
	highest, gaps := int64(-1), 0
	count := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return len(got[n])
	}
	consume := func(ctx context.Context, n int, cluster *client.Cluster) error {
		return cluster.Consume(ctx, 100, 100*time.Millisecond, func(_ context.Context, m *client.Message) error {
			changes, err := m.Changes()
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, change := range changes {
				if change.Table != "g" || change.Kind != canalpb.EventType_INSERT {
					continue
				}
				for _, r := range change.Rows {
					seq, err := r.After.Int("seq")
					if err != nil {
						return err
					}
					if got[n][seq]++; seq > highest+1 {
						gaps++
					}
					highest = max(highest, seq)
				}
			}
			return nil
		})
	}
	first, second := goCluster(t, c.z), goCluster(t, c.z)
	ctxFirst, stopFirst := context.WithCancel(ctx)
	defer stopFirst()
	done := make(chan error, 2)
	go func() { done <- consume(ctxFirst, 0, first) }()
	c.await("the first client has its place", 10*time.Second, func() bool {
		n, err := c.zk.Get(ctx, "/otter/canal/destinations/kill/1001/running")
		return err == nil && strings.Contains(string(n.Data), `"clientId":1001}`) && strings.HasPrefix(string(n.Data), `{"active":true,"address":"127.0.0.1:`)
	})
	go func() { done <- consume(ctx, 1, second) }()
	const rows = 60
	for seq := range rows {
		switch seq {
		case rows / 3:
			c.await("rows before the server is lost", 10*time.Second, func() bool { return count(0) == seq })
			c.servers[c.leader()].Kill()
		case 2 * rows / 3:
			c.await("rows from the next server", 20*time.Second, func() bool { return count(0) == seq })
			if n := count(1); n > 0 {
				t.Errorf("the second client got %d rows beside the first", n)
			}
			stopFirst()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if err := first.Close(); err != nil {
				t.Error(err)
			}
		}
		c.s.Exec(t, fmt.Sprintf("INSERT INTO fault_kill.g VALUES (%d)", seq))
	}
	c.await("the second client gets the rest", 20*time.Second, func() bool { return count(1) >= rows-2*rows/3 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if gaps > 0 {
		t.Errorf("%d times rows were missing", gaps)
	}
	t.Logf("%d rows for the first client, %d for the second", len(got[0]), len(got[1]))
}

// TestClusterGoClientCutOff: a client that hears nothing of ZooKeeper ends its work
// before another one may take its place, and goes on when it hears again.
func TestClusterGoClientCutOff(t *testing.T) {
	c := startCluster(t, 3*time.Second, 1)
	c.finish()
	way := harness.StartProxy(t, c.z.Servers)
	cluster, err := client.NewCluster(client.ClusterOptions{ZooKeeper: way.Addr, Options: client.Options{Destination: "kill"}, SessionTimeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	conn, err := cluster.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, err := conn.GetWithoutAck(t.Context(), 1, 0); err != nil { // longer than the session
			t.Fatal(err)
		}
	}
	way.Cut()
	cut := time.Now()
	c.await("the client ends", 3*time.Second, func() bool {
		_, err := conn.GetWithoutAck(t.Context(), 1, 0)
		return errors.Is(err, client.ErrPlaceLost)
	})
	t.Logf("ended after %s of a session of 3s", time.Since(cut))
	way.Heal()
	if conn, err = cluster.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.GetWithoutAck(t.Context(), 1, 0); err != nil {
		t.Error(err)
	}
}

// TestClusterClientsOfTwoKinds: the Go client and the Java client keep each other
// out, in both directions, and obey an order to leave.
func TestClusterClientsOfTwoKinds(t *testing.T) {
	c := startCluster(t, 3*time.Second, 1)
	c.finish()
	java := harness.JavaClient(t)
	java.Must(t, "cluster "+c.z.Servers+" kill")
	java.Must(t, "subscribe")
	connect := func(limit time.Duration) (*client.Cluster, *client.Conn, error) {
		cluster := goCluster(t, c.z)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		conn, err := cluster.Connect(ctx)
		return cluster, conn, err
	}
	if _, _, err := connect(2 * time.Second); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("beside the Java client: %v", err)
	}
	java.Must(t, "disconnect")
	cluster, conn, err := connect(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.GetWithoutAck(t.Context(), 1, 0); err != nil {
		t.Error(err)
	}
	other := harness.JavaClient(t)
	subscribed := make(chan error, 1)
	go func() {
		if _, err := other.Do("cluster " + c.z.Servers + " kill"); err != nil {
			subscribed <- err
			return
		}
		_, err := other.Do("subscribe")
		subscribed <- err
	}()
	select {
	case err := <-subscribed:
		t.Fatalf("the Java client subscribes beside the Go client: %v", err)
	case <-time.After(3 * time.Second):
	}
	// The order of an operator, as Java's clients obey it.
	node, err := c.zk.Get(t.Context(), "/otter/canal/destinations/kill/1001/running")
	if err != nil {
		t.Fatal(err)
	}
	session, _ := c.zk.Session()
	order := strings.Replace(string(node.Data), `"active":true`, `"active":false`, 1)
	if _, err := c.zk.Set(t.Context(), session.ID, "/otter/canal/destinations/kill/1001/running", []byte(order), -1); err != nil {
		t.Fatal(err)
	}
	c.await("the Go client has left", 5*time.Second, func() bool {
		_, err := conn.GetWithoutAck(t.Context(), 1, 0)
		return errors.Is(err, client.ErrPlaceLost)
	})
	select {
	case err := <-subscribed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the Java client does not get the place")
	}
	_ = cluster.Close()
}
