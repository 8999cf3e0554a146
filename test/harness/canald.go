package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Canald is the canald binary, run as a process of its own on a home in a
// throw-away folder. It is for one goroutine.
type Canald struct {
	Addr    string // of the client port
	Metrics string // of the port for metrics and health
	Home    string

	port    int
	program string
	process *process
}

var program struct {
	sync.Once
	path string
	err  error
}

// buildCanald builds the binary once for a test binary.
func buildCanald(ctx context.Context) (string, error) {
	program.Do(func() {
		folder, err := testFolder()
		if err != nil {
			program.err = err
			return
		}
		dir, err := os.MkdirTemp("", "canald-test-bin-")
		if err != nil {
			program.err = err
			return
		}
		program.path = filepath.Join(dir, "canald")
		cmd := exec.CommandContext(ctx, "go", "build", "-o", program.path, "./cmd/canald")
		cmd.Dir = filepath.Dir(folder)
		if out, err := cmd.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("build canald: %w\n%s", err, out)
		}
	})
	return program.path, program.err
}

func removeCanald() {
	if program.path != "" {
		_ = os.RemoveAll(filepath.Dir(program.path))
	}
}

// StartCanald writes a home in file mode and starts the binary on it. The
// destinations' properties are added to what names the source; lines of main go
// to canal.properties. It waits until the client port is open, and ends the
// process with the test.
func StartCanald(t testing.TB, s *Server, main string, destinations map[string]string) *Canald {
	t.Helper()
	c := &Canald{Home: t.TempDir(), port: FreePort(), program: Program(t)}
	c.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port))
	metrics := FreePort()
	c.Metrics = net.JoinHostPort("127.0.0.1", strconv.Itoa(metrics))
	names := make([]string, 0, len(destinations))
	for name, properties := range destinations {
		names = append(names, name)
		c.Configure(t, s, name, properties)
	}
	writeFile(t, filepath.Join(c.Home, "conf", "canal.properties"), fmt.Sprintf(
		"canal.ip=127.0.0.1\ncanal.port=%d\ncanald.metrics.ip=127.0.0.1\ncanal.metrics.pull.port=%d\ncanal.destinations=%s\n"+
			"canal.instance.global.spring.xml=classpath:spring/file-instance.xml\n%s\n",
		c.port, metrics, strings.Join(names, ","), main))
	t.Cleanup(func() { c.Kill() })
	c.Start(t)
	return c
}

// Configure writes the file of a destination: what names the source, and more properties.
func (c *Canald) Configure(t testing.TB, s *Server, name, properties string) {
	t.Helper()
	writeFile(t, filepath.Join(c.Home, "conf", name, "instance.properties"), fmt.Sprintf(
		"canal.instance.master.address=%s\ncanal.instance.dbUsername=%s\ncanal.instance.dbPassword=%s\n%s\n", s.Addr, s.User, s.Password, properties))
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Start starts the process again after Stop or Kill.
func (c *Canald) Start(t testing.TB) {
	t.Helper()
	p, err := startProcess(exec.Command(c.program, "--home", c.Home), filepath.Join(c.Home, "canald.out"))
	if err != nil {
		t.Fatal(err)
	}
	c.process = p
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.DialTimeout("tcp", c.Addr, time.Second); err == nil {
			_ = conn.Close()
			return
		}
	}
	t.Fatalf("canald does not open its port\n%s", c.Log())
}

// Kill ends the process as a power cut would.
func (c *Canald) Kill() {
	if c.process != nil {
		c.process.kill()
		c.process = nil
	}
}

// Pause stops the process without its noticing, until Resume.
func (c *Canald) Pause(t testing.TB) { c.signal(t, syscall.SIGSTOP) }

// Resume ends a pause.
func (c *Canald) Resume(t testing.TB) { c.signal(t, syscall.SIGCONT) }

func (c *Canald) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := c.process.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Stop ends the process in order and returns its exit code.
func (c *Canald) Stop(t testing.TB) {
	t.Helper()
	if err := c.process.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.process.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("canald does not end\n%s", c.Log())
	}
	c.process = nil
}

// Log is the end of what the process printed.
func (c *Canald) Log() string { return tail(filepath.Join(c.Home, "canald.out")) }

// Memory is the process's resident set now, and the largest it had, bytes.
func (c *Canald) Memory(t testing.TB) (now, peak int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.process.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch key {
		case "VmRSS":
			now = kb << 10
		case "VmHWM":
			peak = kb << 10
		}
	}
	return now, peak
}

// Program is the path of the binary, built once for a test binary.
func Program(t testing.TB) string {
	t.Helper()
	path, err := buildCanald(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return path
}
