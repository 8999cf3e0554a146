//go:build systemd

// What a real systemd does with the unit needs root and a Debian of its own, so
// `make systemd` runs it and `make test` does not.

package fault

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/canald/canald/test/harness"
)

// systemdRounds is how often each fault is made.
const systemdRounds = 20

// machine is a Debian with systemd as its first process, in namespaces of its
// own but for the network.
type machine struct {
	t    *testing.T
	root string
	boot *exec.Cmd
	init int // the process of systemd, as it is seen from here
}

// startMachine copies the tree that `make systemd` made, installs the package in
// it, takes over a server's configuration, and boots it.
func startMachine(t *testing.T, c *harness.Canald, unit string) *machine {
	t.Helper()
	m := &machine{t: t, root: filepath.Join(t.TempDir(), "root")}
	m.run("cp", "-a", os.Getenv("CANALD_SYSTEMD_TREE"), m.root)
	packages, err := filepath.Glob(filepath.Join("..", "..", "dist", "canald_*_amd64.deb"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("one package is wanted in dist, not %q", packages)
	}
	m.run("cp", packages[0], filepath.Join(m.root, "canald.deb"))
	m.run("chroot", m.root, "dpkg", "-i", "/canald.deb")
	home := os.DirFS(filepath.Join(c.Home, "conf"))
	err = fs.WalkDir(home, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(home, path)
		if err != nil {
			return err
		}
		m.write(filepath.Join("/etc/canald", path), string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m.run("rm", "-rf", filepath.Join(m.root, "etc/canald/example"))
	m.run("chroot", m.root, "chown", "-R", "root:canald", "/etc/canald")
	m.write("/etc/systemd/system/canald.service.d/test.conf", unit)
	m.run("chroot", m.root, "systemctl", "enable", "canald")
	log, err := os.Create(filepath.Join(t.TempDir(), "console"))
	if err != nil {
		t.Fatal(err)
	}
	m.boot = exec.Command("systemd-nspawn", "-D", m.root, "--register=no", "--keep-unit", "--machine=canaldtest"+strconv.Itoa(os.Getpid()), "-b")
	m.boot.Stdout, m.boot.Stderr = log, log
	if err := m.boot.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", m.inside("journalctl", "--no-pager", "-u", "canald", "-n", "100"))
		}
		if m.init > 0 {
			_ = syscall.Kill(m.init, syscall.SIGKILL)
		}
		_ = m.boot.Process.Kill()
		_ = m.boot.Wait()
		_ = log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s", text)
		}
	})
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if m.init == 0 {
			m.init = child(m.boot.Process.Pid)
			continue
		}
		if m.show("ActiveState") == "active" {
			return m
		}
	}
	t.Fatalf("the unit does not become active:\n%s", m.inside("systemctl", "status", "--no-pager", "canald"))
	return nil
}

// child is the first child of a process, 0 without one.
func child(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	n, _ := strconv.Atoi(strings.SplitN(strings.TrimSpace(string(text)), " ", 2)[0])
	return n
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) run(name string, args ...string) {
	m.t.Helper()
	if out, err := exec.CommandContext(m.t.Context(), name, args...).CombinedOutput(); err != nil {
		m.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// inside runs a command in the machine; what it prints is given, its exit code is not.
func (m *machine) inside(args ...string) string {
	cmd := exec.Command("nsenter", append([]string{"-t", strconv.Itoa(m.init), "-m", "-p", "-i", "-u", "-r", "-w", "--"}, args...)...)
	out, _ := cmd.CombinedOutput()
	return string(bytes.TrimSpace(out))
}

func (m *machine) show(property string) string {
	return m.inside("systemctl", "show", "-p", property, "--value", "canald")
}

func (m *machine) awaitActive(limit time.Duration) time.Duration {
	m.t.Helper()
	began := time.Now()
	for time.Since(began) < limit {
		if m.show("ActiveState") == "active" {
			return time.Since(began)
		}
		time.Sleep(20 * time.Millisecond)
	}
	m.t.Fatalf("the unit does not become active within %s:\n%s\n%s", limit, m.inside("systemctl", "status", "--no-pager", "canald"), m.inside("journalctl", "--no-pager", "-u", "canald", "-n", "50"))
	return 0
}

// TestSystemd: under the unit as it is shipped, a death costs as little as an
// orderly stop, and a process that hangs is ended and begun anew.
func TestSystemd(t *testing.T) {
	c := startCluster(t, 60*time.Second, 1)
	n := c.leader()
	c.servers[n].Stop(t)
	c.moved(n, 5*time.Second)
	m := startMachine(t, c.servers[n], "[Unit]\nStartLimitBurst=1000\n[Service]\nWatchdogSec=5\n")
	took := map[string][]time.Duration{}
	round := func(what string, fault func()) {
		t.Helper()
		m.awaitActive(30 * time.Second)
		c.await("the machine's server is a member", 10*time.Second, func() bool {
			_, err := c.command("move", "kill", c.servers[n].Addr)
			return err == nil
		})
		c.await("the machine's server runs the destination", 5*time.Second, func() bool { return c.owner() == c.servers[n].Addr })
		time.Sleep(500 * time.Millisecond)
		before, err := c.zk.Get(t.Context(), clusterRunning)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		fault()
		// The other server, or the one that was started again: who just gave the
		// destination away by order leaves it to others for a while.
		c.await("somebody has the destination anew", 15*time.Second, func() bool {
			node, err := c.zk.Get(t.Context(), clusterRunning)
			return err == nil && node.Epoch > before.Epoch
		})
		changed := time.Now()
		c.await("somebody answers", 15*time.Second, func() bool {
			c.witness.mu.Lock()
			defer c.witness.mu.Unlock()
			last := len(c.witness.answers) - 1
			return last >= 0 && c.witness.answers[last].asked.After(changed)
		})
		took[what] = append(took[what], time.Since(began))
	}
	for range systemdRounds {
		round("kill -9", func() { m.inside("systemctl", "kill", "-s", "KILL", "canald") })
		round("systemctl restart", func() { m.inside("systemctl", "restart", "--no-block", "canald") })
	}
	for range 3 {
		round("hang", func() { m.inside("systemctl", "kill", "-s", "STOP", "canald") })
	}
	m.awaitActive(30 * time.Second)
	for what, list := range took {
		slices.Sort(list)
		t.Logf("%s: %d rounds, served again after %s in the middle, %s at most", what, len(list), list[len(list)/2], list[len(list)-1])
		if most := list[len(list)-1]; what != "hang" && most > 2*time.Second {
			t.Errorf("%s: %s", what, most)
		}
	}
	t.Logf("restarts by systemd: %s", m.show("NRestarts"))
	for _, p := range []string{"User", "NoNewPrivileges", "ProtectSystem", "MemoryDenyWriteExecute", "Type"} {
		t.Logf("%s=%s", p, m.show(p))
	}
	m.inside("systemctl", "stop", "canald")
	if state := m.show("ActiveState") + " " + m.show("Result"); state != "inactive success" {
		t.Errorf("after a stop the unit is %s", state)
	}
	if journal := m.inside("journalctl", "--no-pager", "-u", "canald"); strings.Contains(journal, "SIGSYS") || strings.Contains(journal, "Permission denied") {
		t.Errorf("%s", journal)
	}
	c.finish()
}
