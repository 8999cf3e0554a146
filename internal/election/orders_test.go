package election_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/canald/canald/internal/election"
)

// threeMembers makes a the owner, and all others members.
func threeMembers(t *testing.T, m map[string]*member) {
	t.Helper()
	m["a"].campaign(t)
	within(t, time.Second, "a leads", m["a"].isLeading)
	for name, other := range m {
		if name != "a" {
			other.campaign(t)
		}
	}
	time.Sleep(time.Second)
}

func TestMove(t *testing.T) {
	cluster(t, "abcd", func(t *testing.T, _ *world, m map[string]*member) {
		operator := m["d"].link
		threeMembers(t, map[string]*member{"a": m["a"], "b": m["b"], "c": m["c"]})
		for _, to := range []string{"c", "b", "a", "c"} {
			was, err := election.Move(t.Context(), operator, "d", to+":1")
			if err != nil || was.Owner == "" || was.Owner == to+":1" {
				t.Fatalf("%+v, %v", was, err)
			}
			within(t, 100*time.Millisecond, to+" leads", m[to].isLeading)
		}
		if _, err := election.Move(t.Context(), operator, "d", "x:1"); !errors.Is(err, election.ErrNotMember) {
			t.Errorf("move to a stranger: %v", err)
		}
		if s, err := election.Move(t.Context(), operator, "d", "c:1"); err != nil || s.Owner != "c:1" || s.Releasing {
			t.Errorf("move to the owner: %+v, %v", s, err)
		}
	})
}

// Others wait for the server that is named, but not for ever.
func TestMoveToOneThatCannot(t *testing.T) {
	cluster(t, "abcd", func(t *testing.T, w *world, m map[string]*member) {
		threeMembers(t, map[string]*member{"a": m["a"], "b": m["b"], "c": m["c"]})
		w.mu.Lock()
		m["c"].link.up = false // it is cut off, and still a member for a while
		w.mu.Unlock()
		if _, err := election.Move(t.Context(), m["d"].link, "d", "c:1"); err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, "a gives it away", func() bool { return !m["a"].isLeading() })
		took := within(t, time.Minute, "another leads", func() bool { return m["a"].isLeading() || m["b"].isLeading() })
		if took < 5*time.Second || took > 12*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestMoveStaleOrder(t *testing.T) {
	cluster(t, "abd", func(t *testing.T, w *world, m map[string]*member) {
		threeMembers(t, map[string]*member{"a": m["a"], "b": m["b"]})
		w.put(simNext, `{"server":"b:1","after":1}`)
		s, err := election.Look(t.Context(), m["d"].link, "d")
		if err != nil || s.Next != "" {
			t.Errorf("%+v, %v", s, err)
		}
		for _, text := range []string{"", "what is this", `[]`, `{"server":7}`} {
			w.put(simNext, text)
			if s, err := election.Look(t.Context(), m["d"].link, "d"); err != nil || s.Next != "" || s.Owner != "a:1" || !s.Canald {
				t.Errorf("%q: %+v, %v", text, s, err)
			}
		}
	})
}

func TestRelease(t *testing.T) {
	cluster(t, "abd", func(t *testing.T, _ *world, m map[string]*member) {
		if _, err := election.Release(t.Context(), m["d"].link, "d"); !errors.Is(err, election.ErrNobody) {
			t.Errorf("nobody's: %v", err)
		}
		threeMembers(t, map[string]*member{"a": m["a"], "b": m["b"]})
		if s, err := election.Release(t.Context(), m["d"].link, "d"); err != nil || s.Owner != "a:1" {
			t.Errorf("%+v, %v", s, err)
		}
		within(t, 100*time.Millisecond, "b leads", m["b"].isLeading)
	})
}

func TestDrain(t *testing.T) {
	cluster(t, "abd", func(t *testing.T, w *world, m map[string]*member) {
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		for _, name := range []string{"a", "b"} {
			go func() { _ = m[name].e.Announce(ctx) }()
		}
		drain := func(name string, on bool) {
			t.Helper()
			if err := election.Drain(t.Context(), m["d"].link, name+":1", on); err != nil {
				t.Fatal(err)
			}
		}
		m["a"].campaign(t)
		within(t, time.Second, "a leads", m["a"].isLeading)
		drain("a", true)
		time.Sleep(time.Minute)
		if !m["a"].isLeading() {
			t.Error("a gave away what nobody else can run")
		}
		m["b"].campaign(t)
		within(t, 3*time.Second, "b leads", m["b"].isLeading)
		if _, err := election.Move(t.Context(), m["d"].link, "d", "a:1"); !errors.Is(err, election.ErrDrained) {
			t.Errorf("move to a drained server: %v", err)
		}
		m["b"].stop()
		time.Sleep(time.Minute)
		if m["a"].isLeading() {
			t.Error("a drained server took it")
		}
		drain("a", false)
		within(t, 3*time.Second, "a leads again", m["a"].isLeading)
		names, err := election.Drained(t.Context(), m["d"].link)
		if err != nil || len(names) != 0 {
			t.Errorf("%v, %v", names, err)
		}
	})
}
