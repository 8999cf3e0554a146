package fault

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/test/harness"
)

// Servers go over to another ZooKeeper, below a chroot, and the client gets all.
func TestClusterCopy(t *testing.T) {
	c := startCluster(t, 5*time.Second, 1)
	other := harness.StartZooKeeper(t, 1).Servers + "/under/here"
	carry := func(args ...string) (string, error) {
		t.Helper()
		args = append([]string{"--home", t.TempDir(), "cluster", "copy", "--from", c.z.Servers, "--to", other}, args...)
		out, err := exec.CommandContext(t.Context(), harness.Program(t), args...).CombinedOutput()
		return string(out), err
	}
	if out, err := carry(); err == nil || !strings.Contains(out, "stop the servers first") {
		t.Errorf("copied under a server: %v\n%s", err, out)
	}
	n := c.leader()
	c.must("drain", "10.0.0.9:11111", "--wait", "0")
	for _, s := range c.servers {
		s.Stop(t)
	}
	const cursor = "/otter/canal/destinations/kill/1001/cursor"
	want, err := c.zk.Get(t.Context(), cursor)
	if err != nil {
		t.Fatal(err)
	}
	out, err := carry()
	if err != nil || !strings.Contains(out, "made    "+cursor) || !strings.Contains(out, "drained 10.0.0.9:11111") {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := carry(); err != nil || !strings.Contains(out, " 0 nodes made, 0 changed") {
		t.Errorf("a second time: %v\n%s", err, out)
	}
	session, _ := c.zk.Session()
	changed := bytes.Replace(want.Data, []byte(`"position":`), []byte(`"position":1`), 1)
	if _, err := c.zk.Set(t.Context(), session.ID, cursor, changed, -1); err != nil {
		t.Fatal(err)
	}
	if out, err := carry(); err == nil || !strings.Contains(out, "differs "+cursor) {
		t.Errorf("another cursor: %v\n%s", err, out)
	}
	if _, err := c.zk.Set(t.Context(), session.ID, cursor, want.Data, -1); err != nil {
		t.Fatal(err)
	}
	if out, err := carry("--overwrite"); err != nil || !strings.Contains(out, "0 changed") {
		t.Errorf("overwrite: %v\n%s", err, out)
	}
	// One server is enough, on the new tree; the client is told where it is.
	s := harness.StartCanald(t, c.s, "canal.zkServers="+other+"\ncanal.zookeeper.flush.period=100\ncanal.instance.global.spring.xml=classpath:spring/default-instance.xml\n",
		map[string]string{"kill": "canal.instance.filter.regex=fault_kill\\\\..*\ncanal.instance.mysql.slaveId=7009\n"})
	c.elsewhere.Store(s.Addr)
	time.Sleep(3 * time.Second)
	c.servers[n] = s
	c.finish()
}
