package fault

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/canald/canald/test/harness"
)

// startHome makes a home with the scripts out of that of a server, which has
// stopped, and starts it by startup.sh.
func startHome(t *testing.T, c *harness.Canald) (script func(name string), pid func() int) {
	t.Helper()
	if err := os.CopyFS(c.Home, os.DirFS(filepath.Join("..", "..", "deploy", "home"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(harness.Program(t), filepath.Join(c.Home, "bin", "canald")); err != nil {
		t.Fatal(err)
	}
	script = func(name string) {
		t.Helper()
		// A file and not a pipe: what is started would hold a pipe open.
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd := exec.CommandContext(t.Context(), "sh", filepath.Join(c.Home, "bin", name))
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			text, _ := os.ReadFile(out.Name())
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
	}
	pid = func() int {
		text, err := os.ReadFile(filepath.Join(c.Home, "bin", "canal.pid"))
		if err != nil {
			return 0
		}
		n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return n
	}
	script("startup.sh")
	t.Cleanup(func() {
		if n := pid(); n > 0 {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	})
	return script, pid
}

// A server that was started by startup.sh and is killed keeps nothing from the
// other one, whatever the session timeout; nor does it keep itself from starting.
func TestClusterStartupKill(t *testing.T) {
	c := startCluster(t, 60*time.Second, 1)
	n := c.leader()
	c.servers[n].Stop(t)
	c.moved(n, 5*time.Second)
	script, pid := startHome(t, c.servers[n])
	c.must("move", "kill", c.servers[n].Addr)
	time.Sleep(time.Second)
	first := pid()
	began := time.Now()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.await("the other server runs the destination", 2*time.Second, func() bool { return c.owner() == c.servers[1-n].Addr })
	t.Logf("taken over after %s", time.Since(began))
	session := filepath.Join(c.servers[n].Home, "logs", "zookeeper.session")
	c.await("the file of the session is gone", 2*time.Second, func() bool { _, err := os.Stat(session); return os.IsNotExist(err) })
	// Again and again, the start following the death at once.
	for range 5 {
		script("startup.sh")
		if pid() == first {
			t.Error("no new process")
		}
		c.await("the server is a member again", 10*time.Second, func() bool {
			_, err := c.command("move", "kill", c.servers[n].Addr)
			return err == nil
		})
		time.Sleep(500 * time.Millisecond) // long enough to serve: the gap is that of one death
		if err := syscall.Kill(pid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	c.await("the other server runs the destination", 2*time.Second, func() bool { return c.owner() == c.servers[1-n].Addr })
	script("startup.sh")
	script("stop.sh")
	text, _ := os.ReadFile(filepath.Join(c.servers[n].Home, "logs", "canal", "canal_stdout.log"))
	if !strings.Contains(string(text), "is closed") {
		t.Errorf("%s", text)
	}
	time.Sleep(time.Second)
	if gap := c.finish(); gap > 2*time.Second {
		t.Errorf("the client got nothing for %s", gap)
	}
}
