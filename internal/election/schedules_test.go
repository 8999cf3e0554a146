package election_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/canald/canald/internal/election"
	"github.com/canald/canald/internal/zkconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	simTimeout = 2 * time.Second // of sessions
	simDelay   = time.Second     // Java's five seconds
	simFaults  = 25 * time.Second
	simQuiet   = 12 * time.Second // then somebody must have answered
	simRunning = "/otter/canal/destinations/d/running"
)

// seat is a server's address with the processes that come and go there.
type seat struct {
	w       *world
	address string
	java    bool
	log     *zap.Logger

	mu       sync.Mutex
	link     *link
	lease    *election.Lease
	answers  bool // Java: the instance runs
	competed bool // Java: the first attempt was made
	paused   bool
	dead     bool
	stop     context.CancelFunc
	ended    chan struct{}
}

// recorder is the witness of who answered when.
type recorder struct {
	mu       sync.Mutex
	seats    []*seat
	overlaps []string
	answered time.Time
	leases   int
	story    storyWriter // what the servers logged, and what befell them
}

// storyWriter is a buffer for several writers.
type storyWriter struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *storyWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *storyWriter) tell(s *seat, what string) {
	fmt.Fprintf(w, "%s\t%s\t%s\n", time.Now().Format("2006-01-02T15:04:05.000Z"), s.address, what)
}

// answer is a client's request at one server.
func (r *recorder) answer(s *seat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.wouldAnswer() {
		return
	}
	r.answered = time.Now()
	for _, other := range r.seats {
		// A Java server keeps no promise; only ours are held to theirs.
		if other != s && other.wouldAnswer() && s.java == other.java {
			r.story.tell(s, "answers, as does "+other.address)
			r.overlaps = append(r.overlaps, fmt.Sprintf("%s and %s both answer", s.address, other.address))
		}
	}
}

func (s *seat) wouldAnswer() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.dead || s.paused:
		return false
	case s.java:
		return s.answers
	}
	return s.lease != nil && s.lease.Valid()
}

func (s *seat) lead(r *recorder) func(context.Context, *election.Lease) error {
	return func(ctx context.Context, l *election.Lease) error {
		s.mu.Lock()
		s.lease = l
		s.mu.Unlock()
		r.mu.Lock()
		r.leases++
		r.mu.Unlock()
		for r.answer(s); sleep(ctx, 20*time.Millisecond+s.w.upTo(60*time.Millisecond)); {
			r.answer(s)
		}
		// What ends takes a while, and a last answer may be given meanwhile.
		for range 3 {
			_ = sleep(s.w.ctx, s.w.upTo(50*time.Millisecond))
			r.answer(s)
		}
		s.mu.Lock()
		s.lease = nil
		s.mu.Unlock()
		return nil
	}
}

// begin starts a process on the seat.
func (s *seat) begin(r *recorder) {
	ctx, stop := context.WithCancel(s.w.ctx)
	l := s.w.connect(s.address)
	l.java = s.java
	ended := make(chan struct{})
	s.mu.Lock()
	s.link, s.stop, s.ended, s.dead, s.paused = l, stop, ended, false, false
	s.mu.Unlock()
	go l.run(s.w.ctx)
	go func() {
		defer close(ended)
		if s.java {
			s.runJava(ctx, r, l)
			return
		}
		e := election.New(l, election.Config{Address: s.address, JavaDelay: simDelay, RetryMin: time.Second, RetryMax: 4 * time.Second, ReleaseBound: time.Second}, s.log)
		var wg sync.WaitGroup
		wg.Go(func() { _ = e.Announce(ctx) })
		_ = e.Run(ctx, "d", s.lead(r))
		wg.Wait()
	}()
}

// kill ends a process at once: nothing that it still does reaches anybody.
func (s *seat) kill() (session int64) {
	s.w.mu.Lock()
	s.link.dead, s.link.up = true, false
	session = s.link.session.ID
	s.link.setLocked(zkconn.Session{})
	s.w.mu.Unlock()
	s.mu.Lock()
	s.dead = true
	stop, ended := s.stop, s.ended
	s.mu.Unlock()
	stop()
	<-ended
	return session
}

// end stops a process in order.
func (s *seat) end() {
	s.mu.Lock()
	stop, ended := s.stop, s.ended
	s.mu.Unlock()
	stop()
	<-ended
	s.w.mu.Lock() // the session is closed last
	s.link.dead = true
	id := s.link.session.ID
	s.w.mu.Unlock()
	s.w.close(id)
}

func (s *seat) setUp(up bool) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.link.up = up && !s.link.dead
	if s.link.up && s.link.session.Connected {
		s.link.wakeLocked()
	}
}

func (s *seat) reset() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.link.session.Connected {
		s.link.setLocked(zkconn.Session{ID: s.link.session.ID, Timeout: s.w.timeout})
	}
}

func (s *seat) pause(on bool) {
	s.mu.Lock()
	s.paused = on
	s.mu.Unlock()
}

// trouble does random things to a seat until the context ends.
func (s *seat) trouble(ctx context.Context, r *recorder) {
	for sleep(ctx, s.w.upTo(6*time.Second)) {
		length := s.w.upTo(2 * simTimeout)
		what := s.w.upTo(99)
		r.story.tell(s, fmt.Sprintf("trouble %d for %s", what, length))
		switch what {
		default: // cut off
			s.setUp(false)
			_ = sleep(s.w.ctx, length)
			s.setUp(true)
		case 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19: // reset, and cut off
			s.setUp(false)
			s.reset()
			_ = sleep(s.w.ctx, length)
			s.setUp(true)
		case 20, 21, 22, 23, 24, 25, 26, 27, 28, 29: // frozen
			s.setUp(false)
			s.pause(true)
			_ = sleep(s.w.ctx, length)
			s.pause(false)
			r.answer(s) // before anything else wakes up
			s.setUp(true)
		case 30, 31, 32, 33, 34, 35, 36, 37, 38, 39: // killed
			id := s.kill()
			_ = sleep(s.w.ctx, length/2)
			if s.w.chance(50) {
				s.w.close(id)
			}
			s.begin(r)
		case 40, 41, 42, 43, 44, 45, 46, 47, 48, 49: // stopped and started
			s.end()
			_ = sleep(s.w.ctx, length/2)
			s.begin(r)
		case 50, 51, 52, 53, 54: // an operator's hand
			s.w.remove(simRunning)
		case 55, 56, 57:
			s.w.write(simRunning, "what is this")
		case 58, 59, 60, 61, 62:
			s.w.write(simRunning, `{"active":false,"address":"`+s.address+`"}`)
		case 63, 64, 65: // the session is ended by force
			s.w.mu.Lock()
			id := s.link.session.ID
			s.w.mu.Unlock()
			if s.java || !s.wouldAnswer() { // who does this to a live owner breaks the promise himself
				s.w.close(id)
			}
		case 66, 67, 68, 69, 70: // moved to this one
			n := s.w.owner(simRunning)
			s.w.put(simNext, fmt.Sprintf(`{"server":%q,"after":%d}`, s.address, n.Epoch))
			var owner struct{ Address string }
			_ = json.Unmarshal(n.Data, &owner)
			s.w.write(simRunning, fmt.Sprintf(`{"active":false,"address":%q}`, owner.Address))
		case 71, 72, 73, 74, 75: // drained for a while
			s.w.put(simDrained+s.address, "")
			_ = sleep(s.w.ctx, length)
			s.w.remove(simDrained + s.address)
		}
	}
}

// Nodes for orders.
const (
	simNext    = "/otter/canald/destinations/d/next"
	simDrained = "/otter/canald/drained/"
)

// schedule runs servers through a random time of trouble, and a quiet one. It
// returns the recorder and whether somebody answers in the end.
func schedule(t *testing.T, seed uint64, javas, canalds int) (r *recorder, alive bool) {
	r = &recorder{}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWorld(ctx, seed, simTimeout)
		go w.run()
		log := zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.AddSync(&r.story), zap.InfoLevel))
		for n := range javas + canalds {
			s := &seat{w: w, address: fmt.Sprintf("10.0.0.%d:11111", n+1), java: n < javas}
			s.log = log.Named(s.address)
			r.seats = append(r.seats, s)
		}
		troubled, calm := context.WithTimeout(ctx, simFaults)
		var wg sync.WaitGroup
		for _, s := range r.seats {
			s.begin(r)
			wg.Go(func() { s.trouble(troubled, r) })
		}
		wg.Wait()
		calm()
		time.Sleep(simQuiet)
		r.mu.Lock()
		alive = time.Since(r.answered) < time.Second
		// Java's owner whose answer was lost does not know that it is one.
		n := w.owner(simRunning)
		alive = alive || n.Exists && !w.owner(zkconn.SessionPath(n.Owner)).Exists
		r.mu.Unlock()
		cancel()
		for _, s := range r.seats {
			<-s.ended
		}
	})
	return r, alive
}

// schedules is how many are run: CANALD_SCHEDULES, or a number for every day.
func schedules(t *testing.T, daily int) (from, to uint64) {
	if seed, err := strconv.ParseUint(os.Getenv("CANALD_SCHEDULE"), 10, 64); err == nil {
		return seed, seed + 1
	}
	if text := os.Getenv("CANALD_SCHEDULES"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return 0, n
	}
	return 0, uint64(daily)
}

func TestSchedules(t *testing.T) {
	from, to := schedules(t, 300)
	leases := 0
	for seed := from; seed < to; seed++ {
		r, alive := schedule(t, seed, 0, 3)
		leases += r.leases
		if len(r.overlaps) > 0 {
			t.Fatalf("schedule %d: %v\n%s", seed, r.overlaps[0], r.story.b.Bytes())
		}
		if !alive {
			t.Fatalf("schedule %d: nobody answers\n%s", seed, r.story.b.Bytes())
		}
	}
	t.Logf("%d schedules with %d leases", to-from, leases)
	if leases < 3*int(to-from) {
		t.Errorf("only %d leases: nothing was tried", leases)
	}
}
