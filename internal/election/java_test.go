package election_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/zkconn"
)

// runJava takes part by the rules of Java's ServerRunningMonitor: ownership is
// the address in the node, a lost connection is nobody's business, and an
// instance that runs goes on when the node turns out to be another's.
func (s *seat) runJava(ctx context.Context, r *recorder, l *link) {
	instance := func(on bool) {
		s.mu.Lock()
		s.answers = on
		s.mu.Unlock()
	}
	go func() {
		for ; sleep(ctx, 20*time.Millisecond+s.w.upTo(60*time.Millisecond)); r.answer(s) {
		}
	}()
	defer instance(false)
	own := `{"active":true,"address":"` + s.address + `"}`
	seen := "" // the address that was read last
	var due time.Time
	for ctx.Err() == nil {
		session, changed := l.Session()
		if !session.Connected {
			waitAny(ctx, changed, nil, 0)
			continue
		}
		_ = l.Create(ctx, session.ID, "/otter/canal/destinations/d/cluster/"+s.address, nil, true)
		n, events, err := l.Watch(ctx, simRunning)
		switch {
		case err != nil:
			waitAny(ctx, changed, nil, 50*time.Millisecond)
			continue
		case n.Exists:
			due = time.Time{}
			seen = ""
			if strings.Contains(string(n.Data), s.address) {
				seen = s.address
			}
			if seen != "" && strings.Contains(string(n.Data), "false") {
				instance(false)
				_ = l.Delete(ctx, session.ID, simRunning, -1)
				seen = ""
				continue
			}
			waitAny(ctx, changed, events, 0)
			continue
		case seen == s.address || due.IsZero() && !s.competed:
		case due.IsZero():
			due = time.Now().Add(simDelay)
			waitAny(ctx, changed, events, simDelay)
			continue
		case time.Until(due) > 0:
			waitAny(ctx, changed, events, time.Until(due))
			continue
		}
		s.competed = true
		if l.Create(ctx, session.ID, simRunning, []byte(own), true) == nil {
			seen = s.address
			instance(true)
		}
	}
	instance(false)
	if n, err := l.Get(context.WithoutCancel(ctx), simRunning); err == nil && strings.Contains(string(n.Data), s.address) {
		if session, _ := l.Session(); session.Connected {
			_ = l.Delete(context.WithoutCancel(ctx), session.ID, simRunning, -1)
		}
	}
}

func waitAny(ctx context.Context, changed <-chan struct{}, events <-chan zkconn.Event, pause time.Duration) {
	var late <-chan time.Time
	if pause > 0 {
		late = time.After(pause)
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-events:
	case <-late:
	}
}

// The simulation is worth something only if it breaks rules that are broken.
func TestSchedulesBreakJavasRules(t *testing.T) {
	const schedules = 40
	broken := 0
	for seed := range uint64(schedules) {
		if r, _ := schedule(t, seed, 3, 0); len(r.overlaps) > 0 {
			broken++
		}
	}
	t.Logf("Java's rules: two servers answer in %d of %d schedules", broken, schedules)
	if broken < schedules/10 {
		t.Errorf("only %d schedules break Java's rules", broken)
	}
}

// Beside a Java server, ours keep their promise to each other, and nobody waits
// for ever.
func TestSchedulesBesideJava(t *testing.T) {
	from, to := schedules(t, 100)
	for seed := from; seed < to; seed++ {
		r, alive := schedule(t, seed, 1, 2)
		if len(r.overlaps) > 0 {
			t.Fatalf("schedule %d: %v\n%s", seed, r.overlaps[0], r.story.b.Bytes())
		}
		if !alive {
			t.Fatalf("schedule %d: nobody answers\n%s", seed, r.story.b.Bytes())
		}
	}
}
