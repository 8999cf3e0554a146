package install

import (
	"fmt"
	"net"
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

// shells run the scripts; dash drops variables whose names have dots.
var shells = []string{"dash", "bash"}

// home is an installation in a folder whose name has a space.
type home struct {
	t     *testing.T
	shell string
	dir   string
	port  int
}

func newHome(t *testing.T, shell string) *home {
	t.Helper()
	h := &home{t: t, shell: shell, dir: filepath.Join(t.TempDir(), "my home"), port: harness.FreePort()}
	if err := os.CopyFS(h.dir, os.DirFS(filepath.Join(root, "deploy", "home"))); err != nil {
		t.Fatal(err)
	}
	link(t, program, h.path("bin", "canald"))
	write(t, h.path("conf", "canal.properties"), h.main(h.port))
	write(t, h.path("conf", "example", "instance.properties"), "canal.instance.master.address=127.0.0.1:1\n")
	t.Cleanup(func() {
		if pid := h.pid(); pid > 0 {
			end(t, pid)
		}
	})
	return h
}

// main is a main file whose source refuses connections.
func (h *home) main(port int) string {
	return fmt.Sprintf("canal.ip=127.0.0.1\ncanal.port=%d\ncanal.metrics.pull.port=0\ncanal.destinations=example\n"+
		"canal.instance.global.spring.xml=classpath:spring/file-instance.xml\n", port)
}

func (h *home) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}

// script runs a script, from a folder that is not the home's.
func (h *home) script(env []string, name string, args ...string) (string, int) {
	h.t.Helper()
	return run(h.t, h.t.TempDir(), env, h.shell, append([]string{h.path("bin", name)}, args...)...)
}

// want runs a script and checks its exit code and what it says.
func (h *home) want(code int, words string, env []string, name string, args ...string) {
	h.t.Helper()
	out, got := h.script(env, name, args...)
	if got != code || !strings.Contains(out, words) {
		h.t.Fatalf("%s %q: exit code %d, want %d and %q\n%s", name, args, got, code, words, out)
	}
}

// pid is what the pid file says, 0 without one.
func (h *home) pid() int {
	text, err := os.ReadFile(h.path("bin", "canal.pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// runs checks that the server of the pid file is there and listens.
func (h *home) runs(port int) {
	h.t.Helper()
	if pid := h.pid(); !alive(pid) {
		h.t.Fatalf("process %d is not there", pid)
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), 5*time.Second)
	if err != nil {
		h.t.Fatal(err)
	}
	conn.Close()
}

// gone checks that no pid file is left.
func (h *home) gone() {
	h.t.Helper()
	if exists(h.path("bin", "canal.pid")) {
		h.t.Fatalf("bin/canal.pid is left: %d", h.pid())
	}
}

func eachShell(t *testing.T, f func(t *testing.T, h *home)) {
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			f(t, newHome(t, shell))
		})
	}
}

func TestStartAndStop(t *testing.T) {
	eachShell(t, func(t *testing.T, h *home) {
		for range 2 {
			h.want(0, "cd to "+h.path("bin")+" for workaround relative path\nLOG CONFIGURATION : built in\ncanal conf : "+
				h.path("conf", "canal.properties")+"\nCLASSPATH :", nil, "startup.sh")
			h.runs(h.port)
			if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", h.pid())); err != nil || cwd != h.path("bin") {
				t.Errorf("works in %s, %v", cwd, err)
			}
			pid := h.pid()
			h.want(1, "found canal.pid , Please run stop.sh first ,then startup.sh\n", nil, "startup.sh")
			if h.pid() != pid {
				t.Errorf("pid %d became %d", pid, h.pid())
			}
			h.want(0, fmt.Sprintf(": stopping canal %d ... \nOook! cost:", pid), nil, "stop.sh")
			h.gone()
			if alive(pid) {
				t.Errorf("process %d lives", pid)
			}
			h.want(0, "canal is not running. exists\n", nil, "stop.sh")
		}
		if log := read(t, h.path("logs", "canal", "canal.log")); strings.Count(log, "## canal server is down.") != 2 {
			t.Errorf("canal.log: %s", log)
		}
		if out := read(t, h.path("logs", "canal", "canal_stdout.log")); out != "" {
			t.Errorf("canal_stdout.log: %s", out)
		}
	})
}

func TestRestart(t *testing.T) {
	eachShell(t, func(t *testing.T, h *home) {
		h.want(0, "canal is not running. exists\ncd to ", nil, "restart.sh")
		first, port := h.pid(), harness.FreePort()
		// A variable with dots passes both scripts.
		h.want(0, "Oook! cost:", []string{"canal.port=" + strconv.Itoa(port)}, "restart.sh")
		h.runs(port)
		if h.pid() == first {
			t.Error("the same process")
		}
	})
}

func TestArguments(t *testing.T) {
	eachShell(t, func(t *testing.T, h *home) {
		local, other := harness.FreePort(), harness.FreePort()
		write(t, h.path("conf", "canal_local.properties"), h.main(local))
		write(t, h.path("other file.properties"), h.main(other))
		for _, c := range []struct {
			args []string
			port int
			says string
		}{
			{[]string{"local"}, local, "canal conf : " + h.path("conf", "canal_local.properties")},
			{[]string{"local", "ignored"}, local, "canal_local.properties"},
			{[]string{h.path("other file.properties")}, other, "other file.properties"},
			{[]string{"debug", "9099"}, h.port, "debug: there is no Java"},
		} {
			h.want(0, c.says, nil, "startup.sh", c.args...)
			h.runs(c.port)
			h.want(0, "Oook!", nil, "stop.sh", c.args...)
		}
		for _, c := range []struct {
			args []string
			says string
		}{
			{[]string{"nowhere.properties"}, "THE PARAMETER IS NOT CORRECT.PLEASE CHECK AGAIN.\n"},
			{[]string{h.path("conf")}, "THE PARAMETER IS NOT CORRECT.PLEASE CHECK AGAIN.\n"},
			{[]string{""}, "THE PARAMETER IS NOT CORRECT.PLEASE CHECK AGAIN.\n"},
			{[]string{"debug"}, "THE PARAMETER IS NOT CORRECT.PLEASE CHECK AGAIN.\n"},
			{[]string{"what", "else"}, "THE PARAMETER IS NOT CORRECT.PLEASE CHECK AGAIN.\n"},
			{[]string{"local", "b", "c"}, "THE PARAMETERS MUST BE TWO OR LESS.PLEASE CHECK AGAIN.\n"},
		} {
			h.want(1, c.says, nil, "startup.sh", c.args...)
			h.gone()
		}
		if err := os.Remove(h.path("conf", "canal.properties")); err != nil {
			t.Fatal(err)
		}
		h.want(1, `conf/canal.properties") is not exist,please create then first!`, nil, "startup.sh")
		h.gone()
	})
}

func TestRelativeFile(t *testing.T) {
	eachShell(t, func(t *testing.T, h *home) {
		write(t, h.path("my.properties"), h.main(h.port))
		must(t, h.dir, nil, h.shell, "bin/startup.sh", "my.properties")
		h.runs(h.port)
		must(t, h.path("bin"), nil, h.shell, "stop.sh")
		h.gone()
	})
}

func TestOverrides(t *testing.T) {
	eachShell(t, func(t *testing.T, h *home) {
		a, b := harness.FreePort(), harness.FreePort()
		inFile, inEnvironment := fmt.Sprintf("canal.port=%d", a), fmt.Sprintf("-Dcanal.port=%d", b)
		for _, c := range []struct {
			name string
			env  []string
			port int
		}{
			{"environment", []string{inFile}, a},
			{"several lines", []string{"note=first\ncanal.port=1", "canal.note=a\ncanal.port=2", inFile}, a},
			{"JAVA_OPTS", []string{"JAVA_OPTS=-Xmx2g " + inEnvironment + " -Da.b=* -D", "JAVA=/nowhere/java"}, b},
			{"both", []string{inFile, "JAVA_OPTS=" + inEnvironment}, b},
		} {
			out, code := h.script(c.env, "startup.sh")
			if code != 0 {
				t.Fatalf("%s: exit code %d\n%s", c.name, code, out)
			}
			h.runs(c.port)
			h.want(0, "Oook!", nil, "stop.sh")
		}
	})
}

func TestSecretsAreNotShown(t *testing.T) {
	eachShell(t, func(t *testing.T, h *home) {
		const secret = "tO9sEcReT"
		env := []string{"canal.instance.dbPassword=" + secret, "JAVA_OPTS=-Dcanal.instance.tsdb.dbPassword=" + secret}
		out, code := h.script(env, "startup.sh")
		if code != 0 || strings.Contains(out, secret) {
			t.Errorf("exit code %d: %s", code, out)
		}
		command := read(t, fmt.Sprintf("/proc/%d/cmdline", h.pid()))
		if strings.Contains(command, "canal.instance.dbPassword") {
			t.Errorf("a variable of the environment became an argument: %q", command)
		}
		h.want(0, "Oook!", nil, "stop.sh")
	})
}

func TestFailedStart(t *testing.T) {
	eachShell(t, func(t *testing.T, h *home) {
		write(t, h.path("logs", "canal", "canal_stdout.log"), "of another start\n")
		write(t, h.path("conf", "canal.properties"), h.main(h.port)+"canal.passwd=plain\n")
		out, code := h.script(nil, "startup.sh")
		if code != 1 || !strings.Contains(out, "conf/canal.properties:6: canal.passwd: 40 hex digits are needed") || strings.Contains(out, "of another start") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		h.gone()

		busy, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Close()
		_, port, _ := net.SplitHostPort(busy.Addr().String())
		write(t, h.path("conf", "canal.properties"), h.main(0))
		h.want(1, "address already in use", []string{"JAVA_OPTS=-Dcanal.port=" + port}, "startup.sh")
		h.gone()

		if err := os.Remove(h.path("bin", "canald")); err != nil {
			t.Fatal(err)
		}
		h.want(1, "bin/canald is not there", nil, "startup.sh")
	})
}

func TestStalePID(t *testing.T) {
	eachShell(t, func(t *testing.T, h *home) {
		other := exec.Command("sleep", "1000")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
		for _, c := range []struct{ name, text string }{
			{"no such process", "4194305\n"},
			{"another program", fmt.Sprintln(other.Process.Pid)},
			{"no number", "../self\n"},
			{"empty", ""},
		} {
			write(t, h.path("bin", "canal.pid"), c.text)
			h.want(0, "canal is not running. exists\n", nil, "stop.sh")
			h.gone()
			write(t, h.path("bin", "canal.pid"), c.text)
			out, code := h.script(nil, "startup.sh")
			if code != 0 {
				t.Fatalf("%s: exit code %d\n%s", c.name, code, out)
			}
			h.runs(h.port)
			h.want(0, "Oook!", nil, "stop.sh")
		}
		if !alive(other.Process.Pid) {
			t.Error("another program was ended")
		}
	})
}

// An empty pid file: the process is looked for.
func TestEmptyPIDFile(t *testing.T) {
	eachShell(t, func(t *testing.T, h *home) {
		h.want(0, "", nil, "startup.sh")
		pid := h.pid()
		defer end(t, pid)
		write(t, h.path("bin", "canal.pid"), "")
		h.want(0, fmt.Sprintf("stopping canal %d ... \nOook!", pid), nil, "stop.sh")
		h.gone()
	})
}

func TestStopLimit(t *testing.T) {
	eachShell(t, func(t *testing.T, h *home) {
		h.want(0, "", nil, "startup.sh")
		pid := h.pid()
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		h.want(1, "has not stopped within 1 seconds", []string{"STOP_LIMIT_SECONDS=1"}, "stop.sh")
		if h.pid() != pid {
			t.Error("the pid file is gone")
		}
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		h.want(0, "", nil, "stop.sh")
	})
}

// Links to a script, also over several steps and relative ones, lead to its home.
func TestLinkedScripts(t *testing.T) {
	eachShell(t, func(t *testing.T, h *home) {
		dir := t.TempDir()
		for _, name := range []string{"startup.sh", "stop.sh", "restart.sh"} {
			link(t, h.path("bin", name), filepath.Join(dir, "first-"+name))
			link(t, "first-"+name, filepath.Join(dir, name))
		}
		must(t, dir, nil, h.shell, "startup.sh")
		h.runs(h.port)
		must(t, "/", nil, h.shell, filepath.Join(dir, "restart.sh"))
		h.runs(h.port)
		must(t, dir, nil, h.shell, "./stop.sh")
		h.gone()
	})
}
