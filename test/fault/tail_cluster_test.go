package fault

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/zkconn"
	"github.com/canald/canald/test/harness"
)

// TestTailCluster follows a destination from a server that dies to the next, and
// leaves nothing in the tree.
func TestTailCluster(t *testing.T) {
	c := startCluster(t, 3*time.Second, 1)
	c.finish()
	c.s.Exec(t, "CREATE TABLE fault_kill.seen (id INT PRIMARY KEY)")
	r := startTail(t, nil, "--canal", "zk://"+c.z.Servers+"/kill")
	const own = "/otter/canal/destinations/kill/1002"
	c.await("tail has its place", 10*time.Second, func() bool {
		n, err := c.zk.Get(t.Context(), own+"/running")
		return err == nil && strings.Contains(string(n.Data), `"clientId":1002`) && strings.HasPrefix(string(n.Data), `{"active":true,"address":"127.0.0.1:`)
	})
	c.s.Exec(t, "INSERT INTO fault_kill.seen VALUES (1)")
	r.wait(t, "+ fault_kill.seen id=1")
	n := c.leader()
	c.servers[n].Kill()
	c.s.Exec(t, "INSERT INTO fault_kill.seen VALUES (2)")
	r.wait(t, "+ fault_kill.seen id=2")
	r.end(t)
	c.await("nothing of tail is in the tree", 5*time.Second, func() bool {
		_, err := c.zk.Get(t.Context(), own)
		return errors.Is(err, zkconn.ErrNoNode)
	})
	if _, err := c.zk.Get(t.Context(), "/otter/canal/destinations/kill/1001/cursor"); err != nil {
		t.Errorf("the other client's cursor: %v", err)
	}
}

// Of a cluster whose destination a Java server runs, tail takes nothing.
func TestTailClusterOfJava(t *testing.T) {
	s := harness.Shared(t, harness.MySQL80)
	s.Exec(t, "DROP DATABASE IF EXISTS fault_kill", "CREATE DATABASE fault_kill")
	z := harness.StartZooKeeper(t, 1)
	zk := tree(t, z)
	_, address := serveJava(t, s, z, zk)
	within(t, "the Java server runs it", 20*time.Second, func() bool { return runningOwner(t.Context(), zk) == address })
	cmd := exec.CommandContext(t.Context(), harness.Program(t), "tail", "--canal", fmt.Sprintf("zk://%s/kill", z.Servers))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "one store for all clients") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := zk.Get(t.Context(), "/otter/canal/destinations/kill/1002"); !errors.Is(err, zkconn.ErrNoNode) {
		t.Errorf("a client is left in the tree: %v", err)
	}
}
