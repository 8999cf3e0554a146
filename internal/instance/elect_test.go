package instance_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/meta"
)

// ballot is an election that a test decides.
type ballot struct {
	won    chan struct{} // receives for each lease
	lose   chan struct{} // receives to end one
	valid  atomic.Bool
	leases atomic.Int64
	opened atomic.Int64
	keeper meta.Keeper
}

func (b *ballot) elect(ctx context.Context, destination string, _ <-chan struct{}, lead func(context.Context, instance.Lease) error) error {
	for {
		select {
		case <-b.won:
		case <-ctx.Done():
			return nil
		}
		b.leases.Add(1)
		b.valid.Store(true)
		own, end := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() {
			done <- lead(own, instance.Lease{Valid: b.valid.Load, Open: func() (*instance.Instance, error) {
				b.opened.Add(1)
				return instance.New(instance.Config{
					Destination: destination,
					// Nobody listens there: the instance runs and tries again.
					Source: binlog.Config{Addr: "127.0.0.1:1"},
				}, b.keeper, zap.NewNop())
			}})
		}()
		select {
		case <-b.lose:
		case <-ctx.Done():
		case err := <-done:
			done <- err
		}
		end()
		<-done
		b.valid.Store(false)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

func elected(t *testing.T, b *ballot, f *folder, check error) *instance.Host {
	t.Helper()
	b.won, b.lose = make(chan struct{}), make(chan struct{})
	if b.keeper == nil {
		b.keeper = meta.Memory{}
	}
	return runHost(t, instance.HostConfig{
		Destinations: []string{"d"},
		Scan:         f.scan, ScanEvery: 20 * time.Millisecond,
		Open:  func(string) (*instance.Instance, error) { return nil, errors.New("opened without a lease") },
		Check: func(string) error { return check },
		Elect: b.elect,
	})
}

// runHost runs a host until the test ends.
func runHost(t *testing.T, cfg instance.HostConfig) *instance.Host {
	t.Helper()
	h := instance.NewHost(cfg, zap.NewNop())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return h
}

func state(h *instance.Host) instance.HostState {
	for _, d := range h.Destinations() {
		return d.State
	}
	return ""
}

func newFolder() *folder {
	f := &folder{files: map[string]instance.File{}, opened: map[string]int{}}
	f.put("d", "one", time.Now().Add(-time.Hour))
	return f
}

func TestElected(t *testing.T) {
	b, f := &ballot{}, newFolder()
	h := elected(t, b, f, nil)
	eventually(t, "standby", func() bool { return state(h) == instance.Standby })
	if _, err := h.Session("d", 1); !errors.Is(err, instance.ErrNotRunning) {
		t.Errorf("a standby gives sessions: %v", err)
	}
	b.won <- struct{}{}
	var s *instance.Session
	eventually(t, "a session", func() bool {
		var err error
		s, err = h.Session("d", 1)
		return err == nil
	})
	if err := s.Rollback(0); err != nil {
		t.Errorf("rollback: %v", err)
	}
	t.Run("lease suspended", func(t *testing.T) {
		b.valid.Store(false)
		defer b.valid.Store(true)
		if _, err := h.Session("d", 1); !errors.Is(err, instance.ErrNotRunning) {
			t.Errorf("session: %v", err)
		}
		for what, err := range map[string]error{"subscribe": s.Subscribe(t.Context(), ""), "unsubscribe": s.Unsubscribe(t.Context()), "ack": s.Ack(1), "rollback": s.Rollback(0)} {
			if !errors.Is(err, instance.ErrNotRunning) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := s.Get(t.Context(), 1, 0); !errors.Is(err, instance.ErrNotRunning) {
			t.Errorf("get: %v", err)
		}
	})
	t.Run("reload keeps the lease", func(t *testing.T) {
		opened := b.opened.Load()
		f.put("d", "two", time.Now().Add(-time.Minute))
		eventually(t, "opened anew", func() bool { return b.opened.Load() > opened && state(h) == instance.Running })
		if n := b.leases.Load(); n != 1 {
			t.Errorf("%d leases", n)
		}
	})
	t.Run("lease lost", func(t *testing.T) {
		b.lose <- struct{}{}
		eventually(t, "standby", func() bool { return state(h) == instance.Standby })
		if _, err := h.Session("d", 1); !errors.Is(err, instance.ErrNotRunning) {
			t.Errorf("session: %v", err)
		}
	})
	t.Run("reload of a standby", func(t *testing.T) {
		opened := b.opened.Load()
		f.put("d", "three", time.Now().Add(-time.Second))
		b.won <- struct{}{}
		eventually(t, "running", func() bool { return state(h) == instance.Running })
		if n := b.opened.Load(); n < opened+1 {
			t.Errorf("opened %d times", n-opened)
		}
	})
}

func TestElectedCannotStart(t *testing.T) {
	b := &ballot{keeper: broken{}}
	h := elected(t, b, newFolder(), nil)
	b.won <- struct{}{}
	eventually(t, "failed", func() bool { return state(h) == instance.Failed })
}

// What cannot be opened takes no part.
func TestElectedChecks(t *testing.T) {
	b := &ballot{}
	h := elected(t, b, newFolder(), errors.New("bad file"))
	eventually(t, "failed", func() bool { return state(h) == instance.Failed })
	select {
	case b.won <- struct{}{}:
		t.Error("it takes part")
	case <-time.After(50 * time.Millisecond):
	}
}

type broken struct{ meta.Memory }

func (broken) Load(context.Context, string) (meta.State, error) {
	return meta.State{}, errors.New("no cursors today")
}

// A handover waits for nobody who has nothing to acknowledge, and hands nothing
// out any more.
func TestHandOver(t *testing.T) {
	i, err := instance.New(instance.Config{Destination: "d", Source: binlog.Config{Addr: "127.0.0.1:1"}}, meta.Memory{}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	eventually(t, "running", func() bool { _, ok := i.Status(); return ok })
	began := time.Now()
	end(instance.ErrHandOver)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if _, ok := i.Status(); ok {
		t.Error("it runs still")
	}
}
