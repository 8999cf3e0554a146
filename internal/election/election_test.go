package election_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/canald/canald/internal/election"
	"github.com/canald/canald/internal/zkconn"
)

// member is a server of a calm little cluster.
type member struct {
	w    *world
	link *link
	e    *election.Election
	logs *observer.ObservedLogs
	stop func() // ends its campaign in order

	mu      sync.Mutex
	lease   *election.Lease
	cause   error // of the last end of the leading function's context
	leading bool
	fail    error         // what the leading function returns at once
	saving  time.Duration // that it takes to end
}

func (m *member) lead(ctx context.Context, l *election.Lease) error {
	m.mu.Lock()
	fail := m.fail
	m.lease, m.leading = l, fail == nil
	m.mu.Unlock()
	if fail != nil {
		return fail
	}
	<-ctx.Done()
	time.Sleep(m.saving)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cause, m.leading = context.Cause(ctx), false
	return nil
}

func (m *member) isLeading() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leading
}

func (m *member) said(text string) int { return m.logs.FilterMessageSnippet(text).Len() }

// The real constants: sessions of ten seconds, Java's five.
const realTimeout = 10 * time.Second

// cluster runs f on a world with servers a, b, …; none campaigns yet.
func cluster(t *testing.T, names string, f func(t *testing.T, w *world, m map[string]*member)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWorld(ctx, 1, realTimeout)
		w.calm = true
		go w.run()
		members := map[string]*member{}
		for name := range strings.SplitSeq(names, "") {
			core, logs := observer.New(zap.InfoLevel)
			m := &member{w: w, link: w.connect(name), logs: logs, stop: func() {}}
			m.e = election.New(m.link, election.Config{Address: name + ":1"}, zap.New(core))
			go m.link.run(ctx)
			members[name] = m
		}
		time.Sleep(2 * time.Second) // all have sessions
		f(t, w, members)
		for _, m := range members {
			m.stop()
		}
		cancel()
		synctest.Wait()
	})
}

func (m *member) campaign(t *testing.T) { m.campaignAsked(t, nil) }

func (m *member) campaignAsked(t *testing.T, asked <-chan struct{}) {
	ctx, cancel := context.WithCancel(m.w.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.e.RunLazy(ctx, "d", asked, m.lead); err != nil {
			t.Error(err)
		}
	}()
	m.stop = func() {
		cancel()
		<-done
	}
}

// within measures how long it takes until something holds.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) <= limit {
		if ok() {
			return time.Since(began)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("not within %s: %s", limit, what)
	return 0
}

const memberOfJava = "/otter/canal/destinations/d/cluster/j:1"

// joinJava makes a Java server a member: sessions of its kind have no node.
func joinJava(w *world) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions[7] = &simSession{touched: time.Now().Add(time.Hour)}
	w.nodes[memberOfJava] = &zkconn.Node{Exists: true, Owner: 7, Epoch: w.zxid}
}

func TestFirstServerLeadsAtOnce(t *testing.T) {
	cluster(t, "ab", func(t *testing.T, w *world, m map[string]*member) {
		m["a"].campaign(t)
		within(t, time.Second, "a leads", m["a"].isLeading)
		n := w.owner(simRunning)
		if string(n.Data) != `{"active":true,"address":"a:1"}` {
			t.Errorf("the running node holds %s", n.Data)
		}
		if n := w.owner("/otter/canal/destinations/d/cluster/a:1"); !n.Exists || n.Data != nil || n.Owner == 0 {
			t.Errorf("the registration is %+v", n)
		}
		if l := m["a"].lease; !l.Valid() || l.Epoch() != n.Epoch || l.Session() != n.Owner {
			t.Errorf("lease of epoch %d, node of %d", l.Epoch(), n.Epoch)
		}
		m["b"].campaign(t)
		time.Sleep(time.Minute)
		if m["b"].isLeading() {
			t.Error("b leads too")
		}
		a, _ := m["a"].e.Status("d")
		b, _ := m["b"].e.Status("d")
		if a.Role != election.Leading || a.Epoch != n.Epoch || b.Role != election.Standby || b.Owner != "a:1" {
			t.Errorf("status %+v and %+v", a, b)
		}
	})
}

func TestHandover(t *testing.T) {
	dead := func(m *member) {
		m.w.mu.Lock()
		defer m.w.mu.Unlock()
		m.link.dead, m.link.up = true, false
	}
	for name, c := range map[string]struct {
		java     bool
		part     func(a *member) // how a ends
		from, to time.Duration   // that b needs
	}{
		"planned":                         {part: func(a *member) { a.stop() }, to: 50 * time.Millisecond},
		"planned, beside Java":            {java: true, part: func(a *member) { a.stop() }, to: 50 * time.Millisecond},
		"planned, with something to save": {part: func(a *member) { a.saving = time.Second; a.stop() }, to: 50 * time.Millisecond},
		"session closed for it": {part: func(a *member) {
			dead(a)
			a.w.close(a.lease.Session())
		}, to: 50 * time.Millisecond},
		"session closed for it, beside Java": {java: true, part: func(a *member) {
			dead(a)
			a.w.close(a.lease.Session())
		}, from: 5 * time.Second, to: 6 * time.Second},
		"dead": {part: dead, from: 6 * time.Second, to: 11 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			cluster(t, "ab", func(t *testing.T, w *world, m map[string]*member) {
				if c.java {
					joinJava(w)
				}
				m["a"].campaign(t)
				within(t, time.Second, "a leads", m["a"].isLeading)
				m["b"].campaign(t)
				time.Sleep(time.Second)
				c.part(m["a"])
				took := within(t, time.Minute, "b leads", m["b"].isLeading)
				if took < c.from || took > c.to {
					t.Errorf("b leads after %s, not between %s and %s", took, c.from, c.to)
				}
				if m["a"].lease.Valid() && !strings.Contains(name, "closed") { // those of dead processes do not count
					t.Error("a's lease is valid")
				}
				if b := m["b"].lease; b.Epoch() <= m["a"].lease.Epoch() {
					t.Errorf("epoch %d after %d", b.Epoch(), m["a"].lease.Epoch())
				}
			})
		})
	}
}

// The lease that ends in order holds until what was to be saved is saved.
func TestLeaseHoldsWhileSaving(t *testing.T) {
	cluster(t, "a", func(t *testing.T, w *world, m map[string]*member) {
		a := m["a"]
		a.saving = 2 * time.Second
		a.campaign(t)
		within(t, time.Second, "a leads", a.isLeading)
		go a.stop()
		time.Sleep(1900 * time.Millisecond)
		if !a.lease.Valid() || !w.owner(simRunning).Exists {
			t.Error("given away before it was saved")
		}
		if text := string(w.owner(simRunning).Data); text != `{"active":false,"address":"a:1"}` {
			t.Errorf("the node is not marked: %s", text)
		}
		time.Sleep(time.Second)
		if a.lease.Valid() || w.owner(simRunning).Exists {
			t.Error("not given away")
		}
	})
}

func TestSaveThatHangs(t *testing.T) {
	cluster(t, "ab", func(t *testing.T, _ *world, m map[string]*member) {
		a := m["a"]
		a.saving = time.Minute
		a.campaign(t)
		within(t, time.Second, "a leads", a.isLeading)
		m["b"].campaign(t)
		time.Sleep(time.Second)
		go a.stop()
		took := within(t, time.Minute, "b leads", m["b"].isLeading)
		if took < 2900*time.Millisecond || took > 4*time.Second || a.lease.Valid() {
			t.Errorf("b leads after %s, a's lease is valid: %t", took, a.lease.Valid())
		}
	})
}

func TestSuspendedAndResumed(t *testing.T) {
	cluster(t, "ab", func(t *testing.T, w *world, m map[string]*member) {
		a := m["a"]
		a.campaign(t)
		within(t, time.Second, "a leads", a.isLeading)
		m["b"].campaign(t)
		time.Sleep(time.Second)
		s := seat{w: w, link: a.link}
		s.setUp(false)
		took := within(t, realTimeout, "suspended", func() bool { return !a.lease.Valid() })
		if took < realTimeout/4 || took > realTimeout*2/3 {
			t.Errorf("suspended after %s", took)
		}
		time.Sleep(time.Second)
		select {
		case <-a.lease.Suspended():
		default:
			t.Error("nobody is told")
		}
		if st, _ := a.e.Status("d"); st.Role != election.Suspended {
			t.Errorf("role %s", st.Role)
		}
		s.setUp(true)
		within(t, 2*time.Second, "resumed", a.lease.Valid)
		select {
		case <-a.lease.Suspended():
			t.Error("resumed, and suspended still")
		default:
		}
		if !a.isLeading() || m["b"].isLeading() {
			t.Error("the destination was moved or started anew")
		}
	})
}

func TestExpired(t *testing.T) {
	cluster(t, "ab", func(t *testing.T, w *world, m map[string]*member) {
		a := m["a"]
		a.campaign(t)
		within(t, time.Second, "a leads", a.isLeading)
		m["b"].campaign(t)
		time.Sleep(time.Second)
		s := seat{w: w, link: a.link}
		s.setUp(false)
		within(t, 12*time.Second, "a has ended", func() bool { return !a.isLeading() })
		if !errors.Is(a.cause, election.ErrExpired) {
			t.Errorf("cause %v", a.cause)
		}
		within(t, 5*time.Second, "b leads", m["b"].isLeading)
		s.setUp(true)
		time.Sleep(time.Minute)
		if a.isLeading() || !m["b"].isLeading() {
			t.Error("a took it back")
		}
		if n := w.owner("/otter/canal/destinations/d/cluster/a:1"); !n.Exists {
			t.Error("a is not registered in its new session")
		}
	})
}

func TestOrders(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		moves bool
	}{
		"release":          {`{"active":false,"address":"a:1"}`, true},
		"foreign release":  {`{"active":false,"address":"x:1"}`, false},
		"no JSON":          {`go away`, false},
		"empty":            {``, false},
		"another address":  {`{"active":true,"address":"x:1"}`, false},
		"old server's key": {`{"address":"a:1","cid":1}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			cluster(t, "ab", func(t *testing.T, w *world, m map[string]*member) {
				a := m["a"]
				a.campaign(t)
				within(t, time.Second, "a leads", a.isLeading)
				m["b"].campaign(t)
				time.Sleep(time.Second)
				w.write(simRunning, c.text)
				if c.moves {
					within(t, time.Second, "b leads", m["b"].isLeading)
					if !errors.Is(a.cause, election.ErrReleased) {
						t.Errorf("cause %v", a.cause)
					}
					return
				}
				time.Sleep(time.Second)
				if text := string(w.owner(simRunning).Data); !strings.Contains(text, `"address":"a:1"`) || !a.isLeading() || !a.lease.Valid() {
					t.Errorf("a leads: %t, the node holds %s", a.isLeading(), text)
				}
			})
		})
	}
}

func TestReleaseWithoutOthers(t *testing.T) {
	cluster(t, "a", func(t *testing.T, w *world, m map[string]*member) {
		m["a"].campaign(t)
		within(t, time.Second, "a leads", m["a"].isLeading)
		first := m["a"].lease.Epoch()
		w.write(simRunning, `{"active":false,"address":"a:1"}`)
		within(t, 2*time.Second, "a leads again", func() bool { return m["a"].isLeading() && m["a"].lease.Epoch() > first })
	})
}

func TestNodeRemovedByHand(t *testing.T) {
	cluster(t, "ab", func(t *testing.T, w *world, m map[string]*member) {
		a := m["a"]
		a.campaign(t)
		within(t, time.Second, "a leads", a.isLeading)
		m["b"].campaign(t)
		time.Sleep(time.Second)
		first := a.lease.Epoch()
		w.remove(simRunning)
		within(t, time.Second, "a leads again", func() bool { return a.isLeading() && a.lease.Epoch() > first && a.lease.Valid() })
		if m["b"].said("lease acquired") > 0 {
			t.Error("b was faster")
		}
	})
}

func TestFailedStart(t *testing.T) {
	cluster(t, "ab", func(t *testing.T, _ *world, m map[string]*member) {
		a := m["a"]
		a.fail = errors.New("no such filter")
		a.campaign(t)
		within(t, time.Second, "a has failed", func() bool { return a.said("cannot be run here") > 0 })
		m["b"].campaign(t)
		within(t, time.Second, "b leads", m["b"].isLeading)
		m["b"].stop()
		a.mu.Lock()
		a.fail = nil
		a.mu.Unlock()
		took := within(t, 10*time.Second, "a leads", a.isLeading)
		if took < 3*time.Second {
			t.Errorf("a did not pause: %s", took)
		}
	})
}

func TestPersistentNode(t *testing.T) {
	cluster(t, "a", func(t *testing.T, w *world, m map[string]*member) {
		w.mu.Lock()
		w.nodes[simRunning] = &zkconn.Node{Exists: true, Epoch: 1}
		w.mu.Unlock()
		m["a"].campaign(t)
		time.Sleep(10 * time.Minute)
		if n := m["a"].said("persistent"); n < 8 || n > 11 {
			t.Errorf("said %d times in ten minutes", n)
		}
		if !w.owner(simRunning).Exists || m["a"].isLeading() {
			t.Error("the node was removed")
		}
		w.remove(simRunning)
		within(t, 6*time.Second, "a leads", m["a"].isLeading)
	})
}

// Java's owner gets its five seconds, whatever the new one is.
func TestAfterJava(t *testing.T) {
	cluster(t, "a", func(t *testing.T, w *world, m map[string]*member) {
		joinJava(w)
		w.mu.Lock()
		w.zxid++
		w.nodes[simRunning] = &zkconn.Node{Exists: true, Owner: 7, Epoch: w.zxid, Data: []byte(`{"active":true,"address":"j:1","cid":3}`)}
		w.mu.Unlock()
		m["a"].campaign(t)
		time.Sleep(time.Minute)
		if st, _ := m["a"].e.Status("d"); st.Owner != "j:1" {
			t.Errorf("status %+v", st)
		}
		w.close(7)
		if took := within(t, time.Minute, "a leads", m["a"].isLeading); took < 5*time.Second || took > 5500*time.Millisecond {
			t.Errorf("a leads after %s", took)
		}
	})
}

// A restarted server does not wait for the others' five seconds when what was
// there was its own.
func TestOwnNodeOfAnEarlierLife(t *testing.T) {
	cluster(t, "a", func(t *testing.T, w *world, m map[string]*member) {
		joinJava(w)
		w.mu.Lock()
		w.sessions[9] = &simSession{touched: time.Now()}
		w.nodes[simRunning] = &zkconn.Node{Exists: true, Owner: 9, Epoch: w.zxid, Data: []byte(`{"active":true,"address":"a:1"}`)}
		w.nodes["/otter/canal/destinations/d/cluster/a:1"] = &zkconn.Node{Exists: true, Owner: 9, Epoch: w.zxid}
		w.mu.Unlock()
		m["a"].campaign(t)
		took := within(t, time.Minute, "a leads", m["a"].isLeading)
		if took < 9*time.Second || took > 11*time.Second {
			t.Errorf("a leads after %s", took)
		}
		within(t, time.Second, "a is registered in its own session", func() bool {
			return w.owner("/otter/canal/destinations/d/cluster/a:1").Owner == m["a"].lease.Session()
		})
	})
}

func TestTwoServersOfOneAddress(t *testing.T) {
	cluster(t, "a", func(t *testing.T, w *world, m map[string]*member) {
		w.mu.Lock()
		w.sessions[9] = &simSession{touched: time.Now().Add(time.Hour)}
		for _, path := range []string{simRunning, "/otter/canal/destinations/d/cluster/a:1", "/otter/canal/cluster/a:1"} {
			w.nodes[path] = &zkconn.Node{Exists: true, Owner: 9, Epoch: w.zxid, Data: []byte(`{"active":true,"address":"a:1"}`)}
		}
		w.mu.Unlock()
		m["a"].campaign(t)
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		go func() { _ = m["a"].e.Announce(ctx) }()
		time.Sleep(time.Minute)
		if m["a"].said("under the address of this server") != 3 {
			t.Errorf("alarms %v", m["a"].logs.All())
		}
		if w.owner(simRunning).Owner != 9 {
			t.Error("the other's node was taken")
		}
	})
}

func TestAnnounce(t *testing.T) {
	cluster(t, "a", func(t *testing.T, w *world, m map[string]*member) {
		ctx, cancel := context.WithCancel(w.ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = m["a"].e.Announce(ctx)
		}()
		own := func() bool {
			session, _ := m["a"].link.Session()
			return w.owner("/otter/canal/cluster/a:1").Owner == session.ID && session.ID != 0
		}
		within(t, time.Second, "announced", own)
		w.remove("/otter/canal/cluster/a:1")
		within(t, time.Second, "announced again", own)
		session, _ := m["a"].link.Session()
		w.close(session.ID)
		time.Sleep(5 * time.Second)
		within(t, time.Second, "announced in the next session", own)
		cancel()
		<-done
		if w.owner("/otter/canal/cluster/a:1").Exists {
			t.Error("not removed")
		}
	})
}

func ExampleLease() {
	var e *election.Election // made with New
	serve := func(ctx context.Context, lease *election.Lease) error {
		for ctx.Err() == nil {
			if lease.Valid() {
				fmt.Println("an answer, at epoch", lease.Epoch())
			}
			time.Sleep(time.Second)
		}
		return nil
	}
	_ = func(ctx context.Context) error { return e.Run(ctx, "example", serve) }
}

// A lazy destination is nobody's until one server is asked for it; from then on
// the others stand by.
func TestLazyDestination(t *testing.T) {
	cluster(t, "ab", func(t *testing.T, w *world, m map[string]*member) {
		asked := map[string]chan struct{}{}
		for name, v := range m {
			asked[name] = make(chan struct{})
			v.campaignAsked(t, asked[name])
		}
		time.Sleep(time.Minute)
		for name, v := range m {
			if st, _ := v.e.Status("d"); st.Role != election.Idle || v.isLeading() {
				t.Errorf("%s is %s", name, st.Role)
			}
			if n := w.owner("/otter/canal/destinations/d/cluster/" + name + ":1"); !n.Exists {
				t.Errorf("clients cannot find %s", name)
			}
		}
		close(asked["b"])
		within(t, time.Second, "b leads", m["b"].isLeading)
		within(t, time.Second, "a stands by", func() bool { st, _ := m["a"].e.Status("d"); return st.Role == election.Standby })
		m["b"].stop()
		within(t, time.Second, "a leads, though it was never asked", m["a"].isLeading)
	})
}

// A new session of a server that was not asked changes nothing.
func TestLazyDestinationOutlastsSessions(t *testing.T) {
	cluster(t, "a", func(t *testing.T, w *world, m map[string]*member) {
		asked := make(chan struct{})
		m["a"].campaignAsked(t, asked)
		time.Sleep(time.Second)
		s, _ := m["a"].link.Session()
		w.close(s.ID)
		time.Sleep(time.Minute)
		if st, _ := m["a"].e.Status("d"); st.Role != election.Idle {
			t.Errorf("it is %s", st.Role)
		}
		close(asked)
		within(t, time.Second, "a leads", m["a"].isLeading)
	})
}

// An owner whose node somebody removed, while it is cut off, may go on for a while,
// also when a Java server had the node for a moment since.
func TestRemovedUnderOwnerAndTakenByJava(t *testing.T) {
	cluster(t, "ab", func(t *testing.T, w *world, m map[string]*member) {
		m["a"].campaign(t)
		within(t, time.Second, "a leads", m["a"].isLeading)
		m["b"].campaign(t)
		joinJava(w)
		time.Sleep(time.Second)
		w.mu.Lock()
		m["a"].link.up = false
		w.mu.Unlock()
		w.remove(simRunning)
		w.mu.Lock()
		w.zxid++
		w.nodes[simRunning] = &zkconn.Node{Exists: true, Owner: 7, Epoch: w.zxid, Data: []byte(`{"active":true,"address":"j:1"}`)}
		w.tellLocked(simRunning, zk.EventNodeCreated)
		w.mu.Unlock()
		within(t, time.Second, "b sees the Java server", func() bool { st, _ := m["b"].e.Status("d"); return st.Owner == "j:1" })
		w.remove(simRunning)
		for began := time.Now(); time.Since(began) < realTimeout+5*time.Second && !m["b"].isLeading(); time.Sleep(5 * time.Millisecond) {
		}
		if !m["b"].isLeading() {
			t.Fatal("nobody takes it")
		}
		if m["a"].lease.Valid() {
			t.Error("both answer")
		}
	})
}
