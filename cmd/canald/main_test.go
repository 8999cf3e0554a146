package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/canald/canald/client"
)

var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "canald")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "canald")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// limit is far beyond what anything here takes.
const limit = 30 * time.Second

// home makes an installation; files maps paths below it to texts.
func home(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func command(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, binary, args...)
}

// fails runs canald until it ends and wants exit code 1; it returns what it printed.
func fails(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...).CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("%v, want exit code 1\n%s", err, out)
	}
	return string(out)
}

// process is a canald that runs.
type process struct {
	cmd *exec.Cmd
	out *console
}

type console struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf.Write(p)
	select {
	case c.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: command(t, args...), out: &console{more: make(chan struct{}, 1)}}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// wait waits until the output matches and returns the first group.
func (p *process) wait(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(limit)
	for {
		if m := re.FindStringSubmatch(p.out.String()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-p.out.more:
		case <-late:
			t.Fatalf("%q was not printed:\n%s", pattern, p.out)
		}
	}
}

// stop sends a signal and wants the exit code.
func (p *process) stop(t *testing.T, sig os.Signal, code int) time.Duration {
	t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("exit code %d, want %d\n%s", got, code, p.out)
	}
	return time.Since(began)
}

const (
	mainFile = "canal.ip=127.0.0.1\ncanal.port=0\ncanal.metrics.pull.port=0\ncanal.destinations=d\ncanal.instance.global.spring.xml=file-instance.xml\n"
	mainPath = "conf/canal.properties"
	ownPath  = "conf/d/instance.properties"
)

func TestBadConfiguration(t *testing.T) {
	dir := home(t, map[string]string{mainPath: "canal.port=many\ncanal.serverMode=foo\ncanal.passwd=hunter2\n"})
	out := fails(t, "--home", dir)
	for _, want := range []string{
		`conf/canal.properties:1: canal.port: "many": not a number`,
		`conf/canal.properties:2: canal.serverMode: "foo": unknown; the modes are`,
		`conf/canal.properties:3: canal.passwd: 40 hex digits are needed`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "hunter2") {
		t.Errorf("a secret is shown:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "logs")); !os.IsNotExist(err) {
		t.Errorf("something was done before the configuration was checked: %v", err)
	}
}

func TestBadInvocations(t *testing.T) {
	dir := home(t, map[string]string{mainPath: mainFile})
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"no main file", "no such file", []string{"--home", t.TempDir()}},
		{"conf names no file", "no such file", []string{"--home", dir, "--conf", filepath.Join(dir, "none")}},
		{"definition over file", `command line: canal.port: "x": not a number`, []string{"--home", dir, "-Dcanal.port=x"}},
		{"definition without key", "key=value is expected", []string{"--home", dir, "-D", "=x"}},
		{"unknown flag", "unknown flag: --nonsense", []string{"--nonsense"}},
		{"unknown command", "unknown command", []string{"dance"}},
		{"URL without a command", "canald tail", []string{"mysql://joe:hush-1@127.0.0.1/shop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := fails(t, c.args...)
			if !strings.Contains(out, c.want) {
				t.Errorf("%q is missing in\n%s", c.want, out)
			}
			if strings.Contains(out, "hush-1") {
				t.Errorf("a password is shown: %s", out)
			}
		})
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	dir := home(t, map[string]string{mainPath: mainFile, ownPath: "canal.instance.master.address=127.0.0.1:1"})
	out := fails(t, "--home", dir, "-Dcanal.port="+port)
	if !strings.Contains(out, "address already in use") {
		t.Errorf("output:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "logs", "d")); !os.IsNotExist(err) {
		t.Errorf("an instance was started: %v", err)
	}
}

// TestStop ends a server by either signal while clients wait and sources fail.
func TestStop(t *testing.T) {
	for _, c := range []struct {
		name  string
		own   string
		until string // printed before the signal
		sig   os.Signal
	}{
		{"source not there", "canal.instance.master.address=127.0.0.1:1\n", "connection refused", syscall.SIGTERM},
		{"bad instance", "canal.instance.master.address=db1\n", `start failed.*instance.properties:1: canal.instance.master.address: .*missing port`, syscall.SIGINT},
		{"instance without file", "", "not started: the destination has no instance.properties yet", syscall.SIGTERM},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{mainPath: mainFile}
			if c.own != "" {
				files[ownPath] = c.own
			}
			dir := home(t, files)
			p := start(t, "--home", dir)
			addr := p.wait(t, `listening for clients addr=(\S+)`)
			p.wait(t, c.until)
			// A bad instance leaves the server as it is, and an open connection does not hold up the end.
			conn, err := client.Dial(t.Context(), client.Options{Addr: addr, Destination: "d", ClientID: 1001})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if took := p.stop(t, c.sig, 0); took > 20*time.Second {
				t.Errorf("the end took %s", took)
			}
			out := p.out.String()
			server, host, end := strings.Index(out, "stopping part=server"), strings.Index(out, "stopping part=host"), strings.Index(out, "## canal server is down.")
			if server < 0 || host < server || end < host {
				t.Errorf("order of the end:\n%s", out)
			}
			log, err := os.ReadFile(filepath.Join(dir, "logs", "canal", "canal.log"))
			if err != nil || !bytes.Contains(log, []byte("## canal server is down.")) {
				t.Errorf("canal.log: %v\n%s", err, log)
			}
		})
	}
}

func TestSecondProcess(t *testing.T) {
	dir := home(t, map[string]string{mainPath: mainFile})
	p := start(t, "--home", dir)
	p.wait(t, "listening for clients")
	if out := fails(t, "--home", dir); !strings.Contains(out, "another canald runs in this folder") {
		t.Errorf("output:\n%s", out)
	}
	p.stop(t, syscall.SIGTERM, 0)
	// The file stays, the lock does not.
	p = start(t, "--home", dir)
	p.wait(t, "listening for clients")
	p.stop(t, syscall.SIGTERM, 0)
}

func TestEnvironment(t *testing.T) {
	dir := home(t, map[string]string{mainPath: mainFile})
	cmd := command(t, "--home", dir)
	cmd.Env = append(os.Environ(), "canal.port=x")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), `environment: canal.port: "x": not a number`) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestVersion(t *testing.T) {
	out, err := command(t, "version").CombinedOutput()
	if err != nil || !regexp.MustCompile(`^canald \S+ go1\.\S+ \w+/\w+\n$`).Match(out) {
		t.Errorf("%v %q", err, out)
	}
}

// TestClosedConsole: the end of whoever read the console is not the server's.
func TestClosedConsole(t *testing.T) {
	dir := home(t, map[string]string{mainPath: mainFile})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "--home", dir)
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	seen := make([]byte, 0, 64<<10)
	for !bytes.Contains(seen, []byte("running now")) {
		n, err := r.Read(seen[len(seen):cap(seen)])
		if err != nil {
			t.Fatalf("%v\n%s", err, seen)
		}
		seen = seen[:len(seen)+n]
	}
	_ = r.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "logs", "canal", "canal.log"))
	if err != nil || !bytes.Contains(log, []byte("## canal server is down.")) {
		t.Errorf("%v\n%s", err, log)
	}
}
