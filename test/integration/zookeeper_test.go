package integration

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/zap/zaptest"

	"github.com/canald/canald/internal/zkconn"
	"github.com/canald/canald/test/harness"
)

// zkSession runs a session of its own until the test ends or stop is called.
func zkSession(t *testing.T, servers string, cfg zkconn.Config) (c *zkconn.Conn, stop func()) {
	t.Helper()
	var err error
	if cfg.Servers, err = zkconn.ParseServers(servers); err != nil {
		t.Fatal(err)
	}
	c = zkconn.New(cfg, zaptest.NewLogger(t))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return c, stop
}

// awaitSession waits for a state of the session.
func awaitSession(t *testing.T, c *zkconn.Conn, what string, limit time.Duration, ok func(zkconn.Session) bool) zkconn.Session {
	t.Helper()
	late := time.After(limit)
	for {
		s, changed := c.Session()
		if ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("not %s within %s: %+v", what, limit, s)
		}
	}
}

func isConnected(s zkconn.Session) bool { return s.Connected }

func TestZooKeeperSession(t *testing.T) {
	z := harness.StartZooKeeper(t, 1)
	file := filepath.Join(t.TempDir(), "session")
	c, stop := zkSession(t, z.Servers+"/a/b", zkconn.Config{Timeout: 2 * time.Second, SessionFile: file, Name: "x:1", WaitLog: time.Second})
	s := awaitSession(t, c, "connected", 10*time.Second, isConnected)
	ctx := t.Context()

	t.Run("nodes", func(t *testing.T) {
		if err := c.Create(ctx, s.ID, "/p/q/r", nil, false); err != nil {
			t.Fatal(err)
		}
		if err := c.Create(ctx, s.ID, "/p/q/r", nil, false); !errors.Is(err, zkconn.ErrExists) {
			t.Errorf("the second create: %v", err)
		}
		n, events, err := c.Watch(ctx, "/p/q/r")
		if err != nil || !n.Exists || n.Owner != 0 || len(n.Data) != 0 {
			t.Fatalf("watch: %+v, %v", n, err)
		}
		v, err := c.Set(ctx, s.ID, "/p/q/r", []byte("text"), n.Version)
		if err != nil || v != n.Version+1 {
			t.Errorf("set: version %d, %v", v, err)
		}
		<-events
		if _, err := c.Set(ctx, s.ID, "/p/q/r", nil, n.Version); !errors.Is(err, zkconn.ErrBadVersion) {
			t.Errorf("set of an old version: %v", err)
		}
		if err := c.Create(ctx, s.ID, "/p/e", []byte("e"), true); err != nil {
			t.Fatal(err)
		}
		if err := c.Replace(ctx, s.ID, "/p/e", 0, "/x/y", []byte("gone")); err != nil {
			t.Error("replace:", err)
		}
		if err := c.Create(ctx, s.ID, "/p/e", []byte("e"), true); err != nil {
			t.Fatal(err)
		}
		if err := c.Replace(ctx, s.ID, "/p/e", 0, "/x/y", []byte("gone again")); err != nil {
			t.Error("second replace:", err)
		}
		if n, err := c.Get(ctx, "/x/y"); err != nil || string(n.Data) != "gone again" {
			t.Errorf("replaced: %q, %v", n.Data, err)
		}
		if _, err := c.Get(ctx, "/p/e"); !errors.Is(err, zkconn.ErrNoNode) {
			t.Errorf("the replaced node: %v", err)
		}
		n, events, err = c.Watch(ctx, "/none")
		if err != nil || n.Exists {
			t.Fatalf("watch of no node: %+v, %v", n, err)
		}
		if err := c.Create(ctx, s.ID, "/none", nil, true); err != nil {
			t.Fatal(err)
		}
		<-events
	})
	t.Run("another session", func(t *testing.T) {
		other := s.ID + 1
		if err := c.Create(ctx, other, "/other", nil, false); !errors.Is(err, zkconn.ErrSessionEnded) {
			t.Errorf("create: %v", err)
		}
		if _, err := c.Set(ctx, other, "/p/q/r", nil, -1); !errors.Is(err, zkconn.ErrSessionEnded) {
			t.Errorf("set: %v", err)
		}
		if err := c.Delete(ctx, other, "/p/q/r", -1); !errors.Is(err, zkconn.ErrSessionEnded) {
			t.Errorf("delete: %v", err)
		}
	})
	t.Run("live process", func(t *testing.T) {
		if _, err := zkconn.CloseDead(ctx, file, nil); !errors.Is(err, zkconn.ErrLive) {
			t.Errorf("close of our own session: %v", err)
		}
	})
	t.Run("contact", func(t *testing.T) {
		before := c.Contact()
		if before.Session != s.ID {
			t.Fatalf("contact of session %x, not %x", before.Session, s.ID)
		}
		time.Sleep(s.Timeout)
		if at := c.Contact().At; time.Since(at) > s.Timeout*5/12 {
			t.Errorf("last contact was %s ago", time.Since(at))
		}
	})
	t.Run("restart of ZooKeeper", func(t *testing.T) {
		z.Kill(0)
		awaitSession(t, c, "suspended", 5*time.Second, func(s zkconn.Session) bool { return !s.Connected })
		if _, err := c.Get(ctx, "/"); !zkconn.Lost(err) {
			t.Errorf("get without contact: %v", err)
		}
		z.Start(t, 0)
		awaitSession(t, c, "connected", 10*time.Second, isConnected)
	})
	t.Run("wiped ZooKeeper", func(t *testing.T) {
		before, _ := c.Session()
		z.Kill(0)
		z.Wipe(t, 0)
		z.Start(t, 0)
		now := awaitSession(t, c, "in another session", 15*time.Second, func(s zkconn.Session) bool { return s.Connected && s.ID != before.ID })
		if err := c.Create(ctx, now.ID, "/p/q/r", nil, false); err != nil {
			t.Error(err)
		}
	})
	stop()
	if name, err := zkconn.CloseDead(ctx, file, nil); name != "" || err != nil {
		t.Errorf("after an orderly end: %q, %v", name, err)
	}
}

func TestCloseDeadSession(t *testing.T) {
	z := harness.StartZooKeeper(t, 1)
	proxy := harness.StartProxy(t, z.Servers)
	file := filepath.Join(t.TempDir(), "session")
	c, _ := zkSession(t, proxy.Addr, zkconn.Config{Timeout: 20 * time.Second, SessionFile: file})
	before := awaitSession(t, c, "connected", 10*time.Second, isConnected)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the session file: %v, %v", info.Mode(), err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	// As if a process that began at another time had left it.
	other := filepath.Join(t.TempDir(), "session")
	raw = bytes.Replace(raw, []byte(`"started":"`), []byte(`"started":"9`), 1)
	raw = bytes.Replace(raw, []byte(proxy.Addr), []byte(z.Servers), 1)
	for range 2 { // closed already is as good
		if err := os.WriteFile(other, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		name, err := zkconn.CloseDead(t.Context(), other, nil)
		if err != nil || name == "" {
			t.Fatalf("%q, %v", name, err)
		}
		if _, err := os.Stat(other); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
	}
	proxy.Heal()
	awaitSession(t, c, "in another session", 5*time.Second, func(s zkconn.Session) bool { return s.Connected && s.ID != before.ID })
}

// A session whose attempts to go on are heard and not answered is not prolonged for
// ever: what it holds is free at its end, and a new one comes after it.
func TestZooKeeperIsNotHeard(t *testing.T) {
	z := harness.StartZooKeeper(t, 1)
	proxy := harness.StartProxy(t, z.Servers)
	c, _ := zkSession(t, proxy.Addr, zkconn.Config{Timeout: 2 * time.Second})
	before := awaitSession(t, c, "connected", 10*time.Second, isConnected)
	if err := c.Create(t.Context(), before.ID, "/held", nil, true); err != nil {
		t.Fatal(err)
	}
	other, _ := zkSession(t, z.Servers, zkconn.Config{Timeout: 2 * time.Second})
	awaitSession(t, other, "connected", 10*time.Second, isConnected)
	n, events, err := other.Watch(t.Context(), "/held")
	if err != nil || n.Owner != before.ID {
		t.Fatalf("%+v, %v", n, err)
	}
	proxy.StallAnswers()
	began := time.Now()
	select {
	case <-events:
	case <-time.After(15 * time.Second):
		t.Fatal("the node is held for ever")
	}
	t.Logf("free after %s", time.Since(began))
	proxy.Heal()
	awaitSession(t, c, "in another session", 5*time.Second, func(s zkconn.Session) bool { return s.Connected && s.ID != before.ID })
	if _, err := c.Get(t.Context(), "/held"); !errors.Is(err, zkconn.ErrNoNode) {
		t.Errorf("the node: %v", err)
	}
}

func TestZooKeeperComesLate(t *testing.T) {
	z := harness.StartZooKeeper(t, 1)
	z.Kill(0)
	c, _ := zkSession(t, z.Servers, zkconn.Config{Timeout: 2 * time.Second, WaitLog: 100 * time.Millisecond})
	time.Sleep(300 * time.Millisecond)
	if s, _ := c.Session(); s.ID != 0 || s.Connected {
		t.Fatalf("a session without a server: %+v", s)
	}
	z.Start(t, 0)
	awaitSession(t, c, "connected", 10*time.Second, isConnected)
}

func TestZooKeeperPrivate(t *testing.T) {
	z := harness.StartZooKeeper(t, 1)
	ctx := t.Context()
	own, _ := zkSession(t, z.Servers, zkconn.Config{Timeout: 2 * time.Second, Digest: "canald:secret", Private: true})
	s := awaitSession(t, own, "connected", 10*time.Second, isConnected)
	if err := own.Create(ctx, s.ID, "/p/q", []byte("x"), false); err != nil {
		t.Fatal(err)
	}
	// The user is named again in the next connection.
	z.Kill(0)
	awaitSession(t, own, "suspended", 5*time.Second, func(s zkconn.Session) bool { return !s.Connected })
	z.Start(t, 0)
	s = awaitSession(t, own, "connected", 10*time.Second, isConnected)
	if _, err := own.Set(ctx, s.ID, "/p/q", []byte("y"), -1); err != nil {
		t.Error("after a reconnect:", err)
	}
	if n, err := own.Get(ctx, "/p/q"); err != nil || string(n.Data) != "y" {
		t.Errorf("%q, %v", n.Data, err)
	}
	conn, events, err := zk.Connect([]string{z.Servers}, 2*time.Second, zk.WithLogInfo(false), zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		conn.Close()
		for range events {
			continue
		}
	}()
	if _, _, err := conn.Get("/p/q"); !errors.Is(err, zk.ErrNoAuth) {
		t.Errorf("anybody reads: %v", err)
	}
}

// quiet takes the library's lines.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

func TestZooKeeperEnsemble(t *testing.T) {
	z := harness.StartZooKeeper(t, 3)
	c, _ := zkSession(t, z.Servers, zkconn.Config{Timeout: 8 * time.Second})
	before := awaitSession(t, c, "connected", 10*time.Second, isConnected)
	if err := c.Create(t.Context(), before.ID, "/e", nil, true); err != nil {
		t.Fatal(err)
	}
	z.Kill(z.Leader())
	late := time.Now().Add(20 * time.Second)
	for {
		n, err := c.Get(t.Context(), "/e")
		if err == nil && time.Now().After(late.Add(-17*time.Second)) {
			if now, _ := c.Session(); now.ID != before.ID || n.Owner != before.ID {
				t.Errorf("session %+v after %+v", now, before)
			}
			return
		}
		if time.Now().After(late) {
			t.Fatalf("no contact to those that are left: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
