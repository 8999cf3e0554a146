package instance_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/meta"
)

// lazyHost runs one destination that opens as told.
func lazyHost(t *testing.T, cfg instance.HostConfig) *instance.Host {
	t.Helper()
	cfg.Destinations = []string{"d"}
	if cfg.Lazy == nil {
		cfg.Lazy = func(string) bool { return true }
	}
	return runHost(t, cfg)
}

func openNowhere(string) (*instance.Instance, error) {
	return instance.New(instance.Config{Destination: "d", Source: binlog.Config{Addr: "127.0.0.1:1"}}, meta.Memory{}, zap.NewNop())
}

func TestLazy(t *testing.T) {
	f := newFolder()
	h := lazyHost(t, instance.HostConfig{Open: openNowhere, Scan: f.scan, ScanEvery: 10 * time.Millisecond})
	eventually(t, "idle", func() bool { return state(h) == instance.Idle })
	if _, err := h.Session("d", 1); !errors.Is(err, instance.ErrNotRunning) {
		t.Errorf("before anybody asked: %v", err)
	}
	h.Wake(t.Context(), "other") // is nobody's
	time.Sleep(50 * time.Millisecond)
	if s := state(h); s != instance.Idle {
		t.Errorf("nobody asked for it, and it is %s", s)
	}
	h.Wake(t.Context(), "d")
	if _, err := h.Session("d", 1); err != nil {
		t.Errorf("after somebody asked: %v", err)
	}
	// It is in use: a change of its file starts it anew, asked or not.
	f.put("d", "two", time.Now().Add(-time.Minute))
	time.Sleep(100 * time.Millisecond)
	eventually(t, "runs again", func() bool { return state(h) == instance.Running })
	began := time.Now()
	h.Wake(t.Context(), "d")
	if took := time.Since(began); took > time.Second {
		t.Errorf("asking for what runs took %s", took)
	}
}

// A client that comes while a destination starts waits for it.
func TestWakeWhileStarting(t *testing.T) {
	open := func(name string) (*instance.Instance, error) {
		time.Sleep(200 * time.Millisecond)
		return openNowhere(name)
	}
	h := lazyHost(t, instance.HostConfig{Open: open, Lazy: func(string) bool { return false }})
	eventually(t, "starting", func() bool { return state(h) == instance.Starting })
	h.Wake(t.Context(), "d")
	if _, err := h.Session("d", 1); err != nil {
		t.Error(err)
	}
}

// A lazy destination whose configuration is wrong is reported before a client asks.
func TestLazyChecks(t *testing.T) {
	wrong := errors.New("wrong")
	h := lazyHost(t, instance.HostConfig{Open: openNowhere, Check: func(string) error { return wrong }})
	eventually(t, "failed", func() bool { return state(h) == instance.Failed })
	began := time.Now()
	h.Wake(t.Context(), "d")
	if took := time.Since(began); took > time.Second {
		t.Errorf("asking for what fails took %s", took)
	}
}

// A destination that is lazy no more, after a change of its file, starts by itself.
func TestLazyNoMore(t *testing.T) {
	var lazy atomic.Bool
	lazy.Store(true)
	f := newFolder()
	h := lazyHost(t, instance.HostConfig{Open: openNowhere, Scan: f.scan, ScanEvery: 10 * time.Millisecond, Lazy: func(string) bool { return lazy.Load() }})
	eventually(t, "idle", func() bool { return state(h) == instance.Idle })
	lazy.Store(false)
	f.put("d", "two", time.Now().Add(-time.Minute))
	eventually(t, "running", func() bool { return state(h) == instance.Running })
}

// Who asks where another server wins is told so after a while, not never.
func TestLazyLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := lazyHost(t, instance.HostConfig{
			Open: openNowhere,
			Elect: func(ctx context.Context, _ string, asked <-chan struct{}, _ func(context.Context, instance.Lease) error) error {
				select {
				case <-asked:
				case <-ctx.Done():
				}
				<-ctx.Done() // somebody else has it
				return nil
			},
		})
		synctest.Wait()
		if s := state(h); s != instance.Idle {
			t.Fatal(s)
		}
		began := time.Now()
		h.Wake(t.Context(), "d")
		if took := time.Since(began); took < time.Second || took > 10*time.Second {
			t.Errorf("asking took %s", took)
		}
		began = time.Now()
		h.Wake(t.Context(), "d")
		if took := time.Since(began); took > time.Second {
			t.Errorf("asking again took %s", took)
		}
	})
}
