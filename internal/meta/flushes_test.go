package meta_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/canald/canald/internal/meta"
)

// slow is a keeper whose saves take a while, and may fail.
type slow struct {
	meta.Memory
	takes time.Duration
	err   error
}

func (s *slow) Save(context.Context, meta.State) error {
	time.Sleep(s.takes)
	return s.err
}

// TestFlushes: saves are counted and sorted by the time they took, also those
// that failed; what did not change is not saved.
func TestFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := meta.NewBook(meta.State{Destination: "d"})
		k := &slow{takes: 7 * time.Millisecond}
		book.Subscribe(1, "")
		if err := book.Flush(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		last := time.Now()
		if err := book.Flush(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		k.takes, k.err = 2*time.Second, errors.New("no space left on device")
		book.Subscribe(2, "")
		if err := book.Flush(t.Context(), k); !errors.Is(err, k.err) {
			t.Fatalf("%v", err)
		}
		f := book.Flushes()
		if f.Count != 2 || f.Errors != 1 || f.Took != 2007*time.Millisecond || !f.Last.Equal(last) {
			t.Errorf("%+v", f)
		}
		for i, bound := range meta.FlushBounds {
			want := int64(0)
			switch {
			case bound >= 2*time.Second:
				want = 2
			case bound >= 7*time.Millisecond:
				want = 1
			}
			if f.Within[i] != want {
				t.Errorf("%d saves within %s, want %d", f.Within[i], bound, want)
			}
		}
	})
}
