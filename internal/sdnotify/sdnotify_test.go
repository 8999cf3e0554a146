package sdnotify_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/sdnotify"
)

// listen is systemd's side.
func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestNotify(t *testing.T) {
	t.Chdir(t.TempDir()) // a socket's name has at most 108 bytes
	for _, c := range []struct{ name, socket string }{
		{"path", "/proc/self/cwd/notify"},
		{"abstract", "@canald-test-" + strconv.Itoa(os.Getpid())},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := listen(t, c.socket)
			t.Setenv("NOTIFY_SOCKET", c.socket)
			states := []string{sdnotify.Ready + "\n" + sdnotify.Status("two\nlines"), sdnotify.Alive, sdnotify.Stopping}
			for _, s := range states {
				if err := sdnotify.Notify(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			for _, want := range []string{"READY=1\nSTATUS=two lines", "WATCHDOG=1", "STOPPING=1"} {
				b := make([]byte, 100)
				n, err := conn.Read(b)
				if err != nil || string(b[:n]) != want {
					t.Errorf("got %q, %v; want %q", b[:n], err, want)
				}
			}
		})
	}
}

func TestNotifyNobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := sdnotify.Notify(t.Context(), sdnotify.Ready); err != nil {
		t.Error(err)
	}
}

func TestNotifyFails(t *testing.T) {
	for _, c := range []struct{ name, socket, want string }{
		{"no socket", filepath.Join(t.TempDir(), "s"), "no such file"},
		{"no path", "notify", "no path of a socket"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("NOTIFY_SOCKET", c.socket)
			if err := sdnotify.Notify(t.Context(), sdnotify.Ready); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A socket that nobody reads does not hold up the caller for ever.
func TestNotifyFullSocket(t *testing.T) {
	name := "@canald-test-full-" + strconv.Itoa(os.Getpid())
	listen(t, name)
	t.Setenv("NOTIFY_SOCKET", name)
	var err error
	start := time.Now()
	for n := 0; err == nil && n < 100_000; n++ {
		err = sdnotify.Notify(t.Context(), sdnotify.Alive)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) > 30*time.Second {
		t.Errorf("error %v after %s", err, time.Since(start))
	}
}

func TestNotifyEndedContext(t *testing.T) {
	name := "@canald-test-ended-" + strconv.Itoa(os.Getpid())
	listen(t, name)
	t.Setenv("NOTIFY_SOCKET", name)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sdnotify.Notify(ctx, sdnotify.Alive); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestWatchdog(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		name, pid, usec string
		want            time.Duration
	}{
		{"none", "", "", 0},
		{"for all", "", "30000000", 15 * time.Second},
		{"for this process", self, "30000000", 15 * time.Second},
		{"for another", "1", "30000000", 0},
		{"no number", "", "30s", 0},
		{"zero", "", "0", 0},
		{"negative", "", "-1", 0},
		{"beyond all", "", "9223372036854775807", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("WATCHDOG_PID", c.pid)
			t.Setenv("WATCHDOG_USEC", c.usec)
			if got := sdnotify.Watchdog(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
