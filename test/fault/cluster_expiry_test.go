package fault

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/canald/canald/test/harness"
)

// reign is the time in which a running node existed, by the clock of ZooKeeper,
// which is the machine's own.
type reign struct {
	server     int // -1 for one that is no server of ours
	epoch      int64
	begin, end time.Time // end is when the next one began; zero for the last
}

// chronicle notes who owned the running node when.
type chronicle struct {
	mu     sync.Mutex
	reigns []reign
}

func (c *clusterScene) follow(ctx context.Context, ch *chronicle) {
	for ctx.Err() == nil {
		n, err := c.zk.Get(ctx, clusterRunning)
		if err == nil && n.Exists {
			ch.mu.Lock()
			if last := len(ch.reigns) - 1; last < 0 || ch.reigns[last].epoch != n.Epoch {
				at := time.UnixMilli(n.Made)
				if last >= 0 {
					ch.reigns[last].end = at
				}
				owner := slices.IndexFunc(c.servers, func(s *harness.Canald) bool { return s.Addr == ownerOf(n.Data) })
				ch.reigns = append(ch.reigns, reign{server: owner, epoch: n.Epoch, begin: at})
			}
			ch.mu.Unlock()
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// overlaps counts answers that were asked for and given while the node belonged
// to the other server. A node's time is told in whole milliseconds.
func (ch *chronicle) overlaps(answers []answered) (n int) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, a := range answers {
		for _, r := range ch.reigns {
			if r.server >= 0 && r.server != a.server && a.asked.After(r.begin.Add(time.Millisecond)) && (r.end.IsZero() || a.got.Before(r.end)) {
				n++
				break
			}
		}
	}
	return n
}

func TestChronicle(t *testing.T) {
	at := time.UnixMilli
	ch := &chronicle{reigns: []reign{{0, 1, at(0), at(100)}, {1, 2, at(100), at(200)}, {0, 3, at(200), time.Time{}}}}
	for _, c := range []struct {
		answer answered
		over   int
	}{
		{answered{0, at(10), at(90)}, 0},
		{answered{0, at(90), at(110)}, 0},
		{answered{0, at(110), at(120)}, 1},
		{answered{0, at(190), at(210)}, 0},
		{answered{1, at(110), at(120)}, 0},
		{answered{1, at(190), at(210)}, 0},
		{answered{1, at(300), at(310)}, 1},
		{answered{1, at(50), at(60)}, 1},
	} {
		if over := ch.overlaps([]answered{c.answer}); over != c.over {
			t.Errorf("%v: %d", c.answer, over)
		}
	}
}

// TestClusterExpiry: sessions of owners expire again and again under load, by cuts
// and by freezes of random lengths; nobody answers while the other one owns the
// destination, and no row is lost. CANALD_FAULT_ROUNDS says how often.
func TestClusterExpiry(t *testing.T) {
	n := rounds(t, 3)
	c := startCluster(t, 2*time.Second, 1)
	rng := random(t)
	ch := &chronicle{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.follow(ctx, ch) })
	expired, counts := 0, map[string]int{}
	for range n {
		c.await("somebody runs the destination", 20*time.Second, func() bool { return c.owner() != "" })
		n := c.leader()
		node, err := c.zk.Get(t.Context(), clusterRunning)
		if err != nil {
			t.Fatal(err)
		}
		what := []string{"cut", "freeze"}[rng.IntN(2)]
		counts[what]++
		if what == "cut" {
			c.proxies[n].Cut()
		} else {
			c.servers[n].Pause(t)
		}
		c.await("the session of the owner has expired", 10*time.Second, func() bool {
			now, err := c.zk.Get(t.Context(), clusterRunning)
			return err == nil && now.Epoch > node.Epoch
		})
		expired++
		time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
		if what == "cut" {
			c.proxies[n].Heal()
		} else {
			c.servers[n].Resume(t)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Second))))
	}
	time.Sleep(2 * time.Second)
	gap := c.finish()
	cancel()
	wg.Wait()
	c.witness.mu.Lock()
	answers := slices.Clone(c.witness.answers)
	c.witness.mu.Unlock()
	if over := ch.overlaps(answers); over > 0 {
		t.Errorf("%d answers while the other server owned the destination", over)
	}
	t.Logf("%d sessions expired (%v), %d answers, %d owners one after the other, longest gap %s", expired, counts, len(answers), len(ch.reigns), gap)
}
