package fault

import (
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/test/harness"
)

// status is what cluster status --json shows, as far as the tests look at it.
type status struct {
	Destinations []struct {
		Name, State, Owner, Next, Problem string
		OwnerKind                         string `json:"owner_kind"`
		Epoch                             int64
		Members                           []string
		Clients                           []struct {
			ID         int
			File       string
			Position   uint64
			LagSeconds *float64 `json:"lag_seconds"`
			LagAt      string   `json:"lag_at"`
		}
	}
	Servers []struct {
		Address, Kind       string
		Registered, Drained bool
		Runs                int
	}
}

// command runs canald cluster with the ensemble's servers and no home of its own.
func (c *clusterScene) command(args ...string) (string, error) {
	c.t.Helper()
	args = append([]string{"--home", c.t.TempDir(), "cluster"}, append(args, "--servers", c.z.Servers)...)
	out, err := exec.CommandContext(c.t.Context(), harness.Program(c.t), args...).CombinedOutput()
	return string(out), err
}

func (c *clusterScene) must(args ...string) string {
	c.t.Helper()
	out, err := c.command(args...)
	if err != nil {
		for _, s := range c.servers {
			c.t.Log(s.Log())
		}
		c.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

func (c *clusterScene) status() (s status) {
	c.t.Helper()
	out := c.must("status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil || len(s.Destinations) != 1 {
		c.t.Fatalf("%v\n%s", err, out)
	}
	return s
}

func TestClusterStatus(t *testing.T) {
	c := startCluster(t, 20*time.Second, 1)
	n := c.leader()
	time.Sleep(time.Second)
	before, err := c.zk.Children(t.Context(), "/otter/canald/sessions")
	if err != nil {
		t.Fatal(err)
	}
	s := c.status()
	d := s.Destinations[0]
	if d.Name != "kill" || d.State != "running" || d.Owner != c.servers[n].Addr || d.OwnerKind != "canald" || d.Epoch == 0 || d.Problem != "" {
		t.Errorf("%+v", d)
	}
	if len(d.Members) != 2 || !slices.Contains(d.Members, c.servers[0].Addr) || !slices.Contains(d.Members, c.servers[1].Addr) {
		t.Errorf("members %v", d.Members)
	}
	if len(d.Clients) != 1 || d.Clients[0].ID != 1001 || d.Clients[0].File == "" || d.Clients[0].Position == 0 {
		t.Errorf("clients %+v", d.Clients)
	}
	for _, v := range s.Servers {
		runs := 0
		if v.Address == d.Owner {
			runs = 1
		}
		if v.Runs != runs || !v.Registered || v.Drained || v.Kind != "canald" {
			t.Errorf("%+v", v)
		}
	}
	within(t, "the owner tells the client's lag", 15*time.Second, func() bool {
		lag := c.status().Destinations[0].Clients[0].LagSeconds
		return lag != nil && *lag < 5
	})
	text := c.must("status")
	for _, words := range []string{"DESTINATION", c.servers[0].Addr, c.servers[1].Addr, "running", "1001", d.Clients[0].File} {
		if !strings.Contains(text, words) {
			t.Errorf("%q is missing in\n%s", words, text)
		}
	}
	after, err := c.zk.Children(t.Context(), "/otter/canald/sessions")
	if err != nil || len(after) != len(before) {
		t.Errorf("looking left %v, was %v, %v", after, before, err)
	}
	c.finish()
	// Nobody reads any more.
	c.s.Exec(t, "INSERT INTO fault_kill.t VALUES (-1, '')")
	within(t, "the lag grows", 20*time.Second, func() bool {
		d := c.status().Destinations[0]
		return d.Clients[0].LagSeconds != nil && *d.Clients[0].LagSeconds >= 3
	})
	if text := c.must("status"); !strings.Contains(text, "LAG") {
		t.Error(text)
	}
}

func TestClusterReleaseCommand(t *testing.T) {
	c := startCluster(t, 20*time.Second, 1)
	n := c.leader()
	if out := c.must("release", "kill"); !strings.Contains(out, c.servers[n].Addr+" -> "+c.servers[1-n].Addr) {
		t.Error(out)
	}
	c.moved(n, time.Second)
	if gap := c.finish(); gap > time.Second {
		t.Errorf("the client got nothing for %s", gap)
	}
	if over := c.witness.overlaps(n); over > 0 {
		t.Errorf("the old owner answered %d times after the new one", over)
	}
	if out, err := c.command("release", "other"); err == nil || !strings.Contains(out, "no server runs") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The destination goes where it is moved to, again and again, and back at once:
// who has just given it away takes it all the same when it is named.
func TestClusterMove(t *testing.T) {
	c := startCluster(t, 20*time.Second, 1)
	for range 5 {
		n := c.leader()
		to := c.servers[1-n].Addr
		if out := c.must("move", "kill", to); !strings.Contains(out, " -> "+to) {
			t.Error(out)
		}
		if s := c.status().Destinations[0]; s.Owner != to || s.State != "running" || s.Next != "" {
			t.Errorf("%+v", s)
		}
		time.Sleep(500 * time.Millisecond)
	}
	if out := c.must("move", "kill", c.servers[c.leader()].Addr); !strings.Contains(out, "already") {
		t.Error(out)
	}
	if out, err := c.command("move", "kill", "127.0.0.1:1"); err == nil || !strings.Contains(out, "no member") {
		t.Errorf("%v\n%s", err, out)
	}
	if gap := c.finish(); gap > time.Second {
		t.Errorf("the client got nothing for %s", gap)
	}
	if c.reader.repeats > 0 {
		t.Errorf("%d rows came again", c.reader.repeats)
	}
}

func TestClusterDrain(t *testing.T) {
	c := startCluster(t, 3*time.Second, 1)
	n := c.leader()
	own := c.servers[n].Addr
	if out := c.must("drain", own); !strings.Contains(out, own+" is drained") {
		t.Error(out)
	}
	c.moved(n, time.Second)
	moved := time.Now()
	for _, v := range c.status().Servers {
		if v.Drained != (v.Address == own) || v.Runs > 0 && v.Address == own {
			t.Errorf("%+v", v)
		}
	}
	if out, err := c.command("move", "kill", own); err == nil || !strings.Contains(out, "drained") {
		t.Errorf("%v\n%s", err, out)
	}
	// The only other one: it gives nothing away that nobody may take.
	if out := c.must("drain", c.servers[1-n].Addr); !strings.Contains(out, "kill stays there") {
		t.Error(out)
	}
	c.must("drain", c.servers[1-n].Addr, "--undo")
	// A drained server takes nothing, even when it is started again and nobody else is there.
	c.servers[n].Stop(t)
	c.servers[n].Start(t)
	c.servers[1-n].Stop(t)
	time.Sleep(3 * time.Second)
	if owner := c.owner(); owner != "" {
		t.Errorf("%s runs it", owner)
	}
	if s := c.status().Destinations[0]; s.State != "nobody" {
		t.Errorf("%+v", s)
	}
	c.must("drain", own, "--undo")
	c.await("the server that is drained no more runs it", 5*time.Second, func() bool { return c.owner() == own })
	time.Sleep(time.Second)
	c.finish()
	later := slices.IndexFunc(c.reader.rows, func(r received) bool { return r.at.After(moved) })
	gap := longestGap(c.reader.rows[:later])
	t.Logf("the drain's own gap: %s", gap)
	if gap > time.Second {
		t.Errorf("the client got nothing for %s", gap)
	}
}

// Destinations go where they are wanted, and the rest is spread.
func TestClusterRebalance(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	z := harness.StartZooKeeper(t, 1)
	weights := map[string]string{"big": "canald.instance.weight=3\n", "one": "", "two": "", "three": "", "pinned": ""}
	main := "canal.zkServers=" + z.Servers
	first := harness.StartCanald(t, s, main, weights)
	command := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), harness.Program(t), append([]string{"--home", first.Home, "cluster"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	runs := func() map[string]string {
		t.Helper()
		var v status
		if err := json.Unmarshal([]byte(command("status", "--json")), &v); err != nil {
			t.Fatal(err)
		}
		owners := map[string]string{}
		for _, d := range v.Destinations {
			owners[d.Name] = d.Owner
		}
		return owners
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never: %s\n%s", what, first.Log())
			}
		}
	}
	await("the first runs all", func() bool {
		owners := runs()
		return len(owners) == 5 && !slices.ContainsFunc(slices.Collect(maps.Values(owners)), func(o string) bool { return o != first.Addr })
	})
	second := harness.StartCanald(t, s, main, weights)
	first.Configure(t, s, "pinned", "canald.instance.prefer=10.0.0.9:1,"+second.Addr+"\n")
	await("the second is a member", func() bool { return strings.Count(command("status"), second.Addr) >= 6 })
	if out := command("rebalance", "--dry-run"); !strings.Contains(out, "pinned: "+first.Addr+" -> "+second.Addr) || runs()["pinned"] != first.Addr {
		t.Error(out)
	}
	out := command("rebalance")
	owners := runs()
	// Of seven shares the pinned one is the second's, and so are three more at least.
	load := 0
	for name, owner := range owners {
		switch {
		case owner == "":
			t.Errorf("nobody runs %s", name)
		case owner == second.Addr && name == "big":
			load += 3
		case owner == second.Addr:
			load++
		}
	}
	if owners["pinned"] != second.Addr || load < 3 || load > 4 {
		t.Errorf("%v\n%s", owners, out)
	}
	if again := command("rebalance"); !strings.Contains(again, "nothing is to be moved") {
		t.Error(again)
	}
}
