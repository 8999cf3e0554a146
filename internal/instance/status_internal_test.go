package instance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/position"
)

func TestReasonOf(t *testing.T) {
	for want, err := range map[string]error{
		reasonPrecondition: fmt.Errorf("x: %w", binlog.ErrPrecondition),
		reasonPurged:       fmt.Errorf("x: %w", binlog.ErrPositionPurged),
		reasonStructure:    fmt.Errorf("x: %w", binlog.ErrNoTable),
		reasonClosed:       fmt.Errorf("x: %w", binlog.ErrSourceClosed),
		reasonChecksum:     fmt.Errorf("x: %w", binlog.ErrChecksum),
		reasonRefused:      fmt.Errorf("x: %w", &mysql.MyError{Code: mysql.ER_ACCESS_DENIED_ERROR, Message: "Access denied"}),
		reasonNetwork:      fmt.Errorf("x: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}),
		reasonOther:        io.ErrUnexpectedEOF,
	} {
		if got := reasonOf(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

// TestFreeWait counts a wait while it goes on and after it.
func TestFreeWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounters()
		release := make(chan struct{})
		done := make(chan error)
		go func() { done <- c.waitFree(func() error { <-release; return nil }) }()
		time.Sleep(3 * time.Second)
		if total, waits := c.freeWaited(); total != 3*time.Second || waits != 3*time.Second {
			t.Errorf("while it waits: %s, %s", total, waits)
		}
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if total, waits := c.freeWaited(); total != 3*time.Second || waits != 0 {
			t.Errorf("afterwards: %s, %s", total, waits)
		}
	})
}

// TestTrouble: a source that accepts each dump and fails at the same place of it
// is in trouble since the first time, whatever its connections say.
func TestTrouble(t *testing.T) {
	trouble := func(c *counters) time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.troubleLocked()
	}
	cause := errors.New("table id 7")
	synctest.Test(t, func(t *testing.T) {
		c := newCounters()
		c.begun("8.0.36")
		if !trouble(c).IsZero() {
			t.Error("in trouble before the first error")
		}
		c.ended()
		c.failed(cause)
		first := time.Now()
		for range 10 {
			time.Sleep(5 * time.Second)
			c.begun("8.0.36")
			time.Sleep(time.Second)
			if !trouble(c).Equal(first) {
				t.Fatalf("a dump that fails again: in trouble since %s, want %s", trouble(c), first)
			}
			c.ended()
			c.failed(cause)
		}
		c.begun("8.0.36")
		c.gotThrough()
		if !trouble(c).IsZero() {
			t.Error("in trouble though something came through")
		}
		c.ended()
		time.Sleep(time.Second)
		c.failed(cause)
		if !trouble(c).Equal(time.Now()) {
			t.Error("trouble does not begin with the error that ended what worked")
		}
		c.begun("8.0.36")
		time.Sleep(settledAfter + time.Second)
		if !trouble(c).IsZero() {
			t.Error("a dump that lasts is no trouble, though nothing comes through it")
		}
	})
}

// TestDelay: by the source's clock, and while the reader waits it grows.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		ago := func(d time.Duration) time.Time { return now.Add(-d) }
		for _, c := range []struct {
			name          string
			event         time.Duration // ago
			arrived       time.Duration // ago
			heartbeat     time.Duration // ago; 0 for none
			skew, waiting time.Duration
			parked        bool
			want          time.Duration
		}{
			{"at once", 9 * time.Second, 9 * time.Second, 0, 0, 0, false, 0},
			{"late", 9 * time.Second, 2 * time.Second, 0, 0, 0, false, 7 * time.Second},
			{"late, then nothing more", 9 * time.Second, 8 * time.Second, 2 * time.Second, 0, 0, false, 0},
			{"waits for the workers", 9 * time.Second, 8 * time.Second, 0, 0, 4 * time.Second, false, 9 * time.Second},
			{"waits with what came after a heartbeat", 90 * time.Second, 89 * time.Second, 6 * time.Second, 0, 4 * time.Second, false, 4 * time.Second},
			{"rests", 90 * time.Second, 89 * time.Second, 80 * time.Second, 0, 0, true, 90 * time.Second},
			{"the source's clock is behind", 70 * time.Second, 8 * time.Second, 0, -time.Minute, 0, false, 2 * time.Second},
			{"the source's clock is ahead", -60 * time.Second, 0, 0, time.Minute, 0, false, 0},
			{"the clock is wrong", -60 * time.Second, 0, 0, 0, 0, false, 0},
		} {
			place := binlog.Place{Time: ago(c.event).UnixMilli(), Arrived: ago(c.arrived)}
			var heartbeat time.Time
			if c.heartbeat > 0 {
				heartbeat = ago(c.heartbeat)
			}
			if got := delay(place, heartbeat, c.skew, c.waiting, c.parked); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
		}
	})
}

// TestCommitterCounts: what came, what passed the sink, and the time of it.
func TestCommitterCounts(t *testing.T) {
	f, c := newFeeder(t), newCommitter(t, 1024)
	f.time = 1000
	began := c.counters.traffic.Load()
	if err := c.commit(t.Context(), f.segment("be")); err != nil { // dropped: nothing in it
		t.Fatal(err)
	}
	if n := c.counters.empties.Load(); n != 2 {
		t.Errorf("%d entries of empty transactions, want 2", n)
	}
	if n, seen := c.counters.transactions.Load(), c.counters.seen.Load(); n != 0 || seen != 1 || c.counters.traffic.Load() != began {
		t.Errorf("after an empty transaction: %d passed, %d came, traffic %d", n, seen, c.counters.traffic.Load())
	}
	if c.counters.through.Load() {
		t.Error("something got through before anything was put")
	}
	f.time = 1001
	if err := c.commit(t.Context(), f.segment("brre")); err != nil {
		t.Fatal(err)
	}
	if n, seen := c.counters.transactions.Load(), c.counters.seen.Load(); n != 1 || seen != 2 || c.counters.traffic.Load() != 1001_000 {
		t.Errorf("after a transaction: %d passed, %d came, traffic %d", n, seen, c.counters.traffic.Load())
	}
	if !c.counters.through.Load() {
		t.Error("what was put did not get through")
	}
	for n, want := range map[string]int64{"begin": 2, "end": 2, "insert": 2, "update": 0} {
		for k, kind := range eventKinds {
			if kind == n && c.counters.events[k].Load() != want {
				t.Errorf("%s: %d, want %d", n, c.counters.events[k].Load(), want)
			}
		}
	}
	for p, want := range map[uint64]bool{100: true, 600: false, 700: false} {
		if got := c.passed(position.Position{File: "mysql-bin.000001", Offset: p}); got != want {
			t.Errorf("passed %d: %t", p, got)
		}
	}
	before := time.Now().UnixMilli()
	if err := c.commit(t.Context(), f.segment("h")); err != nil {
		t.Fatal(err)
	}
	if c.counters.traffic.Load() < before {
		t.Error("a heartbeat does not move the time of the traffic")
	}
}

func TestFirstLine(t *testing.T) {
	if got := firstLine("worker: panic: boom\ngoroutine 7"); got != "worker: panic: boom" {
		t.Errorf("%q", got)
	}
	if got := firstLine(strings.Repeat("ä", maxErrorBytes)); len(got) > maxErrorBytes+8 || !strings.HasSuffix(got, "…") {
		t.Errorf("%d bytes", len(got))
	}
}
