package instance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/meta"
)

// HostConfig says which destinations a host runs.
type HostConfig struct {
	// Destinations are run from the start, whether their folders are found or not.
	Destinations []string
	// Open makes a fresh instance of a destination; it is called for each
	// attempt to start one. An error that wraps fs.ErrNotExist means that the
	// destination has no configuration yet.
	Open func(destination string) (*Instance, error)
	// Scan lists the configuration files that are there now. Nil leaves the
	// destinations as they are.
	Scan func() (map[string]File, error)
	// ScanEvery is the pause between two scans; 5 s when it is zero.
	ScanEvery time.Duration
	// Elect takes part in the election of a destination until its context is done,
	// and calls lead whenever this server runs the destination. While asked is
	// neither nil nor closed nobody wants it yet. Nil runs all.
	Elect func(ctx context.Context, destination string, asked <-chan struct{}, lead func(ctx context.Context, lease Lease) error) error
	// Check says whether a destination could be opened, before this server takes
	// part in an election or waits for a client; its errors are those of Open. Nil
	// checks nothing.
	Check func(destination string) error
	// Lazy tells whether a destination is run only once Wake asks for it. Nil: none.
	Lazy func(destination string) bool
}

// Lease is the right to run a destination for a time.
type Lease struct {
	// Valid tells whether it holds at this moment: nothing is answered without. It
	// is asked for each request. Nil always holds.
	Valid func() bool
	// Open makes a fresh instance for the time of the lease.
	Open func() (*Instance, error)
}

// Host runs the destinations of one server. One that fails is reported and
// tried again; it never ends the others. What the scan finds is started,
// started anew when it changed, and stopped when it is gone.
type Host struct {
	cfg HostConfig
	log *zap.Logger
	mu  struct {
		sync.Mutex
		members map[string]*member
	}
}

// Pauses between attempts to start an instance that failed.
const (
	startRetryMin = time.Second
	startRetryMax = 30 * time.Second
)

const defaultScanEvery = 5 * time.Second

// HostState is what a host has to say of a destination.
type HostState string

// The states of a destination. One that is Failed is tried again, at intervals
// and when its configuration changes; one that is Waiting has none yet; one that
// is Standby takes part in an election; one that is Idle was not asked for yet.
const (
	Starting HostState = "starting"
	Running  HostState = "running"
	Failed   HostState = "failed"
	Waiting  HostState = "waiting"
	Standby  HostState = "standby"
	Idle     HostState = "idle"
)

// Hosted is a destination as its host sees it.
type Hosted struct {
	Destination string
	State       HostState
	Since       time.Time // of the state
	Err         error     // why it failed; nil in other states
	Instance    *Instance // when it runs, else nil
}

// NewHost makes a host; Run starts what it runs.
func NewHost(cfg HostConfig, log *zap.Logger) *Host {
	if cfg.ScanEvery <= 0 {
		cfg.ScanEvery = defaultScanEvery
	}
	h := &Host{cfg: cfg, log: log}
	h.mu.members = map[string]*member{}
	return h
}

// Run starts the destinations and returns when the context is done and all of
// them have flushed their cursors and ended.
func (h *Host) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	start := func(name, notice string) *member {
		own, stop := context.WithCancel(ctx)
		m := &member{name: name, stop: stop, changed: make(chan struct{}, 1), asked: make(chan struct{}), done: make(chan struct{}), state: Starting, since: time.Now(), notice: notice}
		h.mu.Lock()
		h.mu.members[name] = m
		h.mu.Unlock()
		wg.Go(func() {
			defer close(m.done)
			defer stop()
			h.keep(own, m)
			h.mu.Lock()
			defer h.mu.Unlock()
			delete(h.mu.members, name)
		})
		return m
	}
	s := scanner{host: h, start: start, known: map[string]*known{}, unsettled: map[string]stamp{}, missed: map[string]bool{}}
	for _, name := range h.cfg.Destinations {
		s.known[name] = &known{member: start(name, "")}
	}
	if h.cfg.Scan == nil {
		<-ctx.Done()
		return nil
	}
	s.first = true
	for {
		s.scan(ctx)
		s.first = false
		select {
		case <-time.After(h.cfg.ScanEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// member is a destination that its host runs or tries to.
type member struct {
	name    string
	stop    context.CancelFunc
	changed chan struct{} // its configuration changed: start it anew
	asked   chan struct{} // closed, under the host's lock, when a client asked for a lazy one
	done    chan struct{} // closed when it has ended

	// Guarded by the host's lock.
	askedAt  time.Time
	instance *Instance
	lease    Lease
	restart  context.CancelFunc // while the lease is held: ends the instance, to begin another
	state    HostState
	since    time.Time
	err      error
	notice   string // what to say when it runs; empty says nothing
}

// reload ends the attempt that runs or waits and begins another.
func (m *member) reload() {
	select {
	case m.changed <- struct{}{}:
	default: // one is asked for already
	}
}

// keep runs one destination, again and again while it fails.
func (h *Host) keep(ctx context.Context, m *member) {
	pause := startRetryMin
	for ctx.Err() == nil {
		began := time.Now()
		changed, err := h.attempt(ctx, m)
		if ctx.Err() != nil {
			if err != nil {
				h.log.Error("instance ended with an error", zap.String("destination", m.name), zap.Error(err))
			}
			return
		}
		if changed {
			pause = startRetryMin
			continue
		}
		if time.Since(began) > startRetryMax {
			pause = startRetryMin
		}
		wait := pause/2 + rand.N(pause/2+1)
		if errors.Is(err, fs.ErrNotExist) {
			if !h.waits(m) {
				h.log.Warn("not started: the destination has no instance.properties yet", zap.String("destination", m.name), zap.Error(err))
			}
			h.set(m, Waiting, err)
			if h.cfg.Scan != nil {
				wait = time.Duration(1<<63 - 1) // the scan finds it
			}
		} else {
			h.set(m, Failed, err)
			h.log.Error("start failed; trying again", zap.String("destination", m.name), zap.Error(err), zap.Duration("pause", wait))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-m.changed:
			pause = startRetryMin / 2
		case <-ctx.Done():
		}
		timer.Stop()
		pause = min(2*pause, startRetryMax)
	}
}

// attempt runs the destination once. It returns true when it ended because the
// configuration changed.
func (h *Host) attempt(ctx context.Context, m *member) (changed bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := h.asked(m)
	if h.cfg.Elect != nil || asked != nil {
		if err := h.check(m.name); err != nil {
			return false, err
		}
	}
	run := h.campaign
	switch {
	case h.cfg.Elect == nil:
		run = h.onceAsked
	case asked == nil:
		h.set(m, Standby, nil)
	}
	if asked != nil {
		h.set(m, Idle, nil)
	}
	done := make(chan error, 1)
	go func() { done <- run(ctx, m, asked) }()
	for {
		select {
		case err := <-done:
			return false, err
		case <-m.changed:
		}
		if h.restart(m) { // a reload does not move the destination
			continue
		}
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			h.log.Error("instance ended with an error", zap.String("destination", m.name), zap.Error(err))
		}
		return true, nil
	}
}

func (h *Host) check(destination string) error {
	if h.cfg.Check == nil {
		return nil
	}
	if err := h.cfg.Check(destination); err != nil {
		return fmt.Errorf("instance %q: %w", destination, err)
	}
	return nil
}

// campaign runs the destination whenever this server has its lease.
func (h *Host) campaign(ctx context.Context, m *member, asked <-chan struct{}) error {
	return h.cfg.Elect(ctx, m.name, asked, func(ctx context.Context, lease Lease) error {
		h.mu.Lock()
		m.lease = lease
		h.mu.Unlock()
		var err error
		for again := true; again && ctx.Err() == nil; {
			again, err = h.tenure(ctx, m)
		}
		switch {
		case ctx.Err() == nil:
			h.set(m, Failed, err)
		default:
			h.set(m, Standby, nil)
		}
		return err
	})
}

// tenure runs one instance under the lease; again is true when its configuration
// changed meanwhile.
func (h *Host) tenure(ctx context.Context, m *member) (again bool, err error) {
	own, stop := context.WithCancel(ctx)
	defer stop()
	h.mu.Lock()
	m.restart = stop
	h.mu.Unlock()
	err = h.once(own, m)
	h.mu.Lock()
	m.restart = nil
	h.mu.Unlock()
	return ctx.Err() == nil && own.Err() != nil, err
}

// restart begins another instance under the lease that is held; it returns
// false when none is.
func (h *Host) restart(m *member) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.restart == nil {
		return false
	}
	m.restart()
	return true
}

func (h *Host) once(ctx context.Context, m *member) (err error) {
	defer func() {
		// One destination's defect must not take the others along.
		if p := recover(); p != nil {
			err = fmt.Errorf("instance %q: panic: %v\n%s", m.name, p, debug.Stack())
		}
	}()
	h.mu.Lock()
	open := m.lease.Open
	h.mu.Unlock()
	if open == nil {
		open = func() (*Instance, error) { return h.cfg.Open(m.name) }
	}
	i, err := open()
	if err != nil {
		return fmt.Errorf("instance %q: %w", m.name, err)
	}
	h.run(m, i)
	defer h.run(m, nil)
	if err := i.Run(ctx); err != nil {
		return fmt.Errorf("instance %q: %w", m.name, err)
	}
	if ctx.Err() == nil {
		return errors.New("instance ended by itself")
	}
	return nil
}

// run notes the instance that runs; nil when it ended.
func (h *Host) run(m *member, i *Instance) {
	h.mu.Lock()
	m.instance = i
	notice := ""
	if i != nil {
		m.state, m.since, m.err = Running, time.Now(), nil
		notice, m.notice = m.notice, ""
	} else {
		m.state, m.since = Starting, time.Now()
	}
	h.mu.Unlock()
	if notice != "" {
		h.log.Info("auto notify " + notice + " " + m.name + " successful.")
	}
}

func (h *Host) waits(m *member) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return m.state == Waiting
}

func (h *Host) set(m *member, s HostState, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.state != s {
		m.state, m.since = s, time.Now()
	}
	m.err = err
}

// Session is a client's view of a destination; ErrNotRunning when it does not
// run here now, whether it is known or not.
func (h *Host) Session(destination string, id meta.ClientID) (*Session, error) {
	h.mu.Lock()
	var i *Instance
	var valid func() bool
	if m := h.mu.members[destination]; m != nil {
		i, valid = m.instance, m.lease.Valid
	}
	h.mu.Unlock()
	if i == nil {
		return nil, ErrNotRunning
	}
	s := &Session{i: i, id: id, valid: valid}
	if !s.holds() {
		return nil, ErrNotRunning
	}
	return s, nil
}

// Instance is the running instance of a destination, or nil.
func (h *Host) Instance(destination string) *Instance {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.mu.members[destination]; m != nil {
		return m.instance
	}
	return nil
}

// Destinations lists what the host runs or tries to, by name.
func (h *Host) Destinations() []Hosted {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Hosted, 0, len(h.mu.members))
	for m := range maps.Values(h.mu.members) {
		out = append(out, Hosted{Destination: m.name, State: m.state, Since: m.since, Err: m.err, Instance: m.instance})
	}
	slices.SortFunc(out, func(a, b Hosted) int { return cmp.Compare(a.Destination, b.Destination) })
	return out
}
