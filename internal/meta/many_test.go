package meta_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/meta"
)

// Subscriptions, acks and the flusher at once; what is saved last is what the
// book holds.
func TestBookIsUsedByMany(t *testing.T) {
	dir := t.TempDir()
	f := keeper(t, dir, "d")
	book := meta.NewBook(meta.State{Destination: "d"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- book.Run(ctx, f, time.Millisecond, zap.NewNop()) }()
	var wg sync.WaitGroup
	for id := range meta.ClientID(4) {
		wg.Go(func() {
			for i := range uint64(300) {
				if i%50 == 0 {
					book.Subscribe(id, "a")
				}
				book.SetCursor(id, cursor(i+1))
				book.Clients()
				book.Client(id)
				book.Smallest()
				if i%70 == 69 {
					book.Unsubscribe(id)
					book.Subscribe(id, "b")
				}
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	state, err := keeper(t, dir, "d").Load(t.Context(), "d")
	if err != nil || len(state.Clients) != 4 {
		t.Fatalf("%+v, %v", state, err)
	}
	for i, c := range book.Clients() {
		if saved := state.Clients[i]; saved.ID != c.ID || *saved.Cursor != *c.Cursor || c.Cursor.Position.Offset != 300 {
			t.Errorf("saved %+v, have %+v", saved, c)
		}
	}
}

// A subscription is saved at once, an ack with the period.
func TestWhatIsUrgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &flaky{}
		book := meta.NewBook(meta.State{Destination: "d"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- book.Run(ctx, k, time.Hour, zap.NewNop()) }()
		book.Subscribe(1, "")
		synctest.Wait()
		if calls, _ := k.seen(); calls != 1 {
			t.Fatalf("%d saves right behind a subscription", calls)
		}
		book.SetCursor(1, cursor(9))
		synctest.Wait()
		if calls, _ := k.seen(); calls != 1 {
			t.Error("an ack does not wait for the period")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if calls, _ := k.seen(); calls != 2 {
			t.Errorf("%d saves after the period", calls)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if calls, saved := k.seen(); calls != 2 || saved.Clients[0].Cursor == nil {
			t.Errorf("%d saves, last %+v", calls, saved)
		}
	})
}
