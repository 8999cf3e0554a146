// Package integration runs canald's own packages against real servers.
package integration

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/server"
	"github.com/canald/canald/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// canald is a host and its port inside the test's process.
type canald struct {
	addr string
	host *instance.Host
	stop func()
}

// config is a destination that follows the server, with cursors in dir.
func config(s *harness.Server, destination string, id uint32) instance.Config {
	return instance.Config{
		Destination: destination,
		Source:      binlog.Config{Addr: s.Addr, User: s.User, Password: s.Password, ServerID: id},
		Filter:      `.*\..*`,
		FlushPeriod: 50 * time.Millisecond,
		RetryMin:    50 * time.Millisecond,
	}
}

// start runs the destinations until the test ends or stop is called. An empty
// data folder keeps nothing.
func start(t testing.TB, dataDir string, configs ...instance.Config) *canald {
	t.Helper()
	log := zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel)).WithOptions()
	open := map[string]func() (*instance.Instance, error){}
	for _, c := range configs {
		open[c.Destination] = func() (*instance.Instance, error) {
			var keeper meta.Keeper = meta.Memory{}
			if dataDir != "" {
				f, err := meta.NewFile(dataDir, c.Destination, log)
				if err != nil {
					return nil, err
				}
				keeper = f
			}
			return instance.New(c, keeper, log.Named(c.Destination))
		}
	}
	h := instance.NewHost(instance.HostConfig{
		Destinations: slices.Collect(maps.Keys(open)),
		Open:         func(name string) (*instance.Instance, error) { return open[name]() },
	}, log)
	srv := server.New(server.Config{Addr: "127.0.0.1:0"}, func(d string, id meta.ClientID) (server.Session, error) {
		s, err := h.Session(d, id)
		if errors.Is(err, instance.ErrNotRunning) {
			return nil, server.ErrNotRunning
		}
		return s, err
	}, log, nil)
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { _ = srv.Run(ctx); done <- struct{}{} }()
	go func() { _ = h.Run(ctx); done <- struct{}{} }()
	stopped := false
	c := &canald{addr: srv.Addr().String(), host: h}
	c.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
			<-done
		}
	}
	t.Cleanup(c.stop)
	return c
}

// connect subscribes a client; the instance may still be starting.
func connect(t testing.TB, c *canald, destination string, id int16) *client.Conn {
	t.Helper()
	conn, err := client.Dial(t.Context(), client.Options{Addr: c.addr, Destination: destination, ClientID: id})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	eventually(t, "subscribe", func() bool {
		err := conn.Subscribe(t.Context(), "")
		if err != nil && !strings.Contains(err.Error(), "should start first") {
			t.Fatal(err)
		}
		return err == nil
	})
	return conn
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("%s: did not happen", what)
}

// drain gets and acknowledges batches until enough says so.
func drain(t testing.TB, conn *client.Conn, enough func(e *canalpb.Entry) bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); {
		m, err := conn.GetWithoutAck(t.Context(), 1000, 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if m.ID < 0 {
			continue
		}
		entries, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		done := false
		for _, e := range entries {
			done = enough(e) || done
		}
		if err := conn.Ack(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
		if done {
			return
		}
	}
	t.Fatal("drain: not enough came")
}

// each runs a test on every version of the matrix.
func each(t *testing.T, f func(t *testing.T, s *harness.Server)) {
	t.Helper()
	eachOf(t, func(harness.Version) bool { return true }, f)
}

// eachOf runs a test on those versions of the matrix that have what it is about;
// the others do not appear in the results.
func eachOf(t *testing.T, has func(v harness.Version) bool, f func(t *testing.T, s *harness.Server)) {
	t.Helper()
	for _, v := range harness.Versions() {
		if !has(v) {
			continue
		}
		t.Run(string(v), func(t *testing.T) { f(t, harness.Shared(t, v)) })
	}
}

func isMariaDB(v harness.Version) bool { return !v.MySQL() }
