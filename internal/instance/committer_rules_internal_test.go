package instance

import (
	"context"
	"testing"
	"time"

	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/store"
)

// Which transactions without rows count as empty when something else was there before.
func TestEmptyTransactionBehind(t *testing.T) {
	for _, c := range []struct {
		name     string
		size     int
		segments []string
		want     string
	}{
		{"a statement", 1024, []string{"s", "be", "be"}, "r"},
		{"a statement and one of MariaDB, which has no begin", 1024, []string{"s", "e", "e"}, "r"},
		{"a rolled back transaction, which has no end", 1024, []string{"br", "be", "be"}, "br"},
		{"a transaction", 1024, []string{"bre", "be"}, "bre"},
		{"a transaction in pieces", 2, []string{"brre", "be", "be"}, "brre"},
		{"a transaction in pieces whose end stands alone", 3, []string{"brre", "be"}, "brre"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, cm := newFeeder(t), newCommitter(t, c.size)
			for _, letters := range c.segments {
				if err := cm.commit(t.Context(), f.segment(letters)); err != nil {
					t.Fatal(err)
				}
			}
			if got := stored(t, cm); got != c.want {
				t.Errorf("stored %q, want %q", got, c.want)
			}
		})
	}
}

// A heartbeat of the source lets pass what waits, as in Canal: the begin of a
// transaction whose rows are still to come must not be lost.
func TestHeartbeatBehindABegin(t *testing.T) {
	f, cm := newFeeder(t), newCommitter(t, 1024)
	for _, letters := range []string{"b", "h", "h", "re"} {
		if err := cm.commit(t.Context(), f.segment(letters)); err != nil {
			t.Fatal(err)
		}
	}
	if got := stored(t, cm); got != "bre" {
		t.Errorf("stored %q, want %q", got, "bre")
	}
}

// The store takes a piece of a transaction and then no more; the end that comes
// again after the reconnect belongs to that piece and must not be dropped as an
// empty transaction.
func TestEndAfterAnInterruptedPut(t *testing.T) {
	f := newFeeder(t)
	s := store.New(store.Config{ItemMode: true, Slots: 3}, position.Position{}, 1)
	t.Cleanup(s.Close)
	if err := s.Attach(1, nil); err != nil {
		t.Fatal(err)
	}
	cm := &committer{store: s, counters: newCounters(), transactionSize: 3, emptyTime: 1000_000}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cm.commit(ctx, f.segment("brre")) }()
	for s.BlockedSince().IsZero() {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err == nil {
		t.Fatal("no error")
	}
	if got := stored(t, cm); got != "brr" {
		t.Fatalf("stored %q", got)
	}
	if _, _, err := s.Ack(1, 1); err != nil {
		t.Fatal(err)
	}
	cm.begin()
	f.next = 0
	if err := cm.commit(t.Context(), f.segment("brrebe")); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, cm); got != "e" {
		t.Errorf("after the reconnect stored %q, want the end", got)
	}
}
