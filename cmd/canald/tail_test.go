package main_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tailed runs tail with an environment of its own and returns what it prints.
func tailed(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(t, append([]string{"tail"}, args...)...)
	cmd.Env = append(os.Environ(), append([]string{"HOME=" + t.TempDir()}, env...)...)
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	_ = cmd.Run()
	return out.String(), diag.String(), cmd.ProcessState.ExitCode()
}

// TestTailFlags: what cannot be is said in a line, and no password is.
func TestTailFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "my.cnf")
	if err := os.WriteFile(file, []byte("[client]\nhost=127.0.0.1\nport=1\nuser=joe\npassword=hush-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"two forms", []string{"--json", "--sql", "mysql://db"}, "exclude each other"},
		{"two sources", []string{"--canal", "h/d", "mysql://joe:hush-1@db"}, "exclude each other"},
		{"no source", nil, "host is missing"},
		{"bad color", []string{"--color", "red", "mysql://db"}, "auto, always or never"},
		{"bad limit", []string{"--limit", "-1", "mysql://db"}, "not negative"},
		{"bad URL", []string{"mysql://joe:hush-1@db:port"}, "port is no number"},
		{"open password", []string{"mysql://joe:a/hush-1@db"}, "%2F"},
		{"no such file", []string{"--defaults-file", file + ".no", "mysql://db"}, "option file"},
		{"nobody there", []string{"mysql://joe:hush-1@127.0.0.1:1"}, `connect to 127.0.0.1:1 as "joe"`},
		{"all from the option file", []string{"--defaults-file", file}, `connect to 127.0.0.1:1 as "joe"`},
		{"no destination", []string{"--canal", "127.0.0.1:1"}, "host:port/destination"},
		{"nobody's server", []string{"--canal", "127.0.0.1:1/d"}, "connection refused"},
		{"the client's own id", []string{"--canal", "127.0.0.1:1/d", "--client-id", "1001"}, "usual client's own"},
		{"no client id", []string{"--canal", "127.0.0.1:1/d", "--client-id", "0"}, "above 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, code := tailed(t, nil, c.args...)
			if code != 1 || !strings.Contains(stderr, c.want) || stdout != "" {
				t.Errorf("exit code %d, %q, %q; want %q", code, stdout, stderr, c.want)
			}
			if strings.Contains(stderr, "hush-1") {
				t.Errorf("a password is shown: %s", stderr)
			}
		})
	}
}

// TestTailInterrupted: Ctrl-C ends tail with a summary, whatever it waits for.
func TestTailInterrupted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never greets
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.Command(binary, "tail", "mysql://joe@"+l.Addr().String())
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	var diag bytes.Buffer
	cmd.Stderr = &diag
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	if err := cmd.Wait(); err != nil || !strings.HasPrefix(diag.String(), "0 rows") {
		t.Errorf("%v, %q", err, &diag)
	}
}
