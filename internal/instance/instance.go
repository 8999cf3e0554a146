// Package instance runs destinations: for each one a pipeline from its source
// into its store, and for each of its clients a Session on that store. Host
// runs all destinations of a server.
//
// An Instance owns the goroutines of its pipeline (reader, workers, committer),
// of the cursor flush and of the watch over absent clients; all of them are
// gone when Run returns.
package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/filter"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/store"
)

// ErrNotRunning is returned for a destination that this server does not run
// now. It is a store.ErrClosed to those who know no instances.
var ErrNotRunning = fmt.Errorf("destination is not running here: %w", store.ErrClosed)

// Config is one destination, ready to run. Zero durations and counts get the default.
type Config struct {
	Destination string
	Source      binlog.Config // SkipTable is set by the instance
	Start       binlog.StartConfig
	Store       store.Config
	Location    *time.Location // of TIMESTAMP columns; nil is the process's zone

	Filter      string // canal.instance.filter.regex
	BlackFilter string // canal.instance.filter.black.regex

	// Fields and BlackFields are lists of columns wanted and not wanted.
	Fields, BlackFields filter.Columns

	HistoryFile string // of structures; empty keeps them for the instance's life only
	HistoryKeep history.Keep
	// Shared keeps structures for the next server that runs the destination; nil for
	// nobody. Where there is one, another server may have run it before: what was
	// kept of structures then lacks statements, so it begins anew.
	Shared history.Shared

	TransactionSize int           // entries of one flush group at most; 1024
	FilterMarkers   bool          // canal.instance.filter.transaction.entry
	ResetWhenPurged bool          // canal.auto.reset.latest.pos.mode
	Workers         int           // 1
	FlushPeriod     time.Duration // of cursors; 1 s
	AbsentAfter     time.Duration // see store.Absent; 60 s
	ParkAfter       time.Duration // a full store ends the dump until there is room again; 10 min
	RetentionEvery  time.Duration // between looks at what the source still keeps; 10 min
	GeneratedID     bool          // Source.ServerID was not configured and may be changed
	RetryMin        time.Duration // first pause between attempts; 1 s
	RetryMax        time.Duration // longest pause; 20 s
}

func (c Config) withDefaults() Config {
	if c.TransactionSize <= 0 {
		c.TransactionSize = 1024
	}
	if c.Workers <= 0 {
		c.Workers = 1
	}
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&c.FlushPeriod, time.Second)
	set(&c.AbsentAfter, time.Minute)
	set(&c.ParkAfter, 10*time.Minute)
	set(&c.RetentionEvery, 10*time.Minute)
	set(&c.RetryMin, time.Second)
	set(&c.RetryMax, 20*time.Second)
	if c.Location == nil {
		c.Location = time.Local
	}
	return c
}

// Instance follows one source for its clients.
type Instance struct {
	cfg       Config
	log       *zap.Logger
	keeper    meta.Keeper
	pool      entry.Pool
	black     *filter.Filter
	store     *store.Store
	book      *meta.Book
	committer *committer
	counters  *counters
	host      string // of the source, as cursors name it
	port      int
	source    string // that answered last, by its own id; it belongs to follow

	// placed is closed when the place of the source is known for the first time.
	placed     chan struct{}
	placedOnce sync.Once
	// shut is closed when nothing may be subscribed any more.
	shut     chan struct{}
	shutOnce sync.Once

	// attach serialises what moves clients in and out of the store.
	attach sync.Mutex

	// closing is held by what changes the book; the end of the instance waits for
	// it before the book is saved for the last time. It is taken after attach.
	closing sync.RWMutex

	mu struct {
		sync.Mutex
		running  bool
		draining bool // nothing is handed out any more but the rest of a transaction; what is outstanding may be acknowledged
		reader   *binlog.Reader
		white    *filter.Filter
		start    position.Position       // where the stream started; zero before it is known
		restart  context.CancelCauseFunc // ends the dump that runs; nil when none does
		back     position.Position       // where a returned client needs the next dump to start
		// returned are the clients that the next dump starts for.
		returned []meta.ClientID
	}
}

// Causes that end a dump on purpose.
var (
	errRestart = errors.New("a client returned whose cursor lies before the store")
	errParked  = errors.New("nobody makes room in the store")
)

// New checks the filters and makes an instance; Run starts it.
func New(cfg Config, keeper meta.Keeper, log *zap.Logger) (*Instance, error) {
	cfg = cfg.withDefaults()
	i := &Instance{cfg: cfg, keeper: keeper, log: log, placed: make(chan struct{}), shut: make(chan struct{}), counters: newCounters()}
	white, err := filter.New(cfg.Filter)
	if err != nil {
		return nil, fmt.Errorf("canal.instance.filter.regex: %w", err)
	}
	if i.black, err = filter.New(cfg.BlackFilter); err != nil {
		return nil, fmt.Errorf("canal.instance.filter.black.regex: %w", err)
	}
	host, port, err := net.SplitHostPort(cfg.Source.Addr)
	if err != nil {
		return nil, fmt.Errorf("canal.instance.master.address %q: %w", cfg.Source.Addr, err)
	}
	if i.port, err = strconv.Atoi(port); err != nil {
		return nil, fmt.Errorf("canal.instance.master.address %q: %w", cfg.Source.Addr, err)
	}
	i.host = host
	i.mu.white = white
	i.cfg.Source.SkipTable = i.skipTable
	i.cfg.Source.FilterName = i.filterName
	i.cfg.Source.ShownColumns = func(schema, table string) func(string) bool {
		return filter.Shown(cfg.Fields, cfg.BlackFields, schema, table)
	}
	i.cfg.Source.Counters = &binlog.Counters{}
	return i, nil
}

// skipTable applies the white and the black list to a table.
func (i *Instance) skipTable(schema, table string) bool {
	i.mu.Lock()
	white := i.mu.white
	i.mu.Unlock()
	return !filter.Passes(white, i.black, schema+"."+table)
}

// filterName names the lists that skipTable applies.
func (i *Instance) filterName() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mu.white.String() + "\n" + i.black.String()
}

// Run loads the metadata and follows the source until the context is done,
// however often the source fails. It returns an error only for what a retry of
// the dump cannot mend: metadata that cannot be read.
func (i *Instance) Run(ctx context.Context) error {
	state, err := i.keeper.Load(ctx, i.cfg.Destination)
	if err != nil {
		return fmt.Errorf("load cursors: %w", err)
	}
	structures, err := history.Open(i.cfg.HistoryFile, i.cfg.HistoryKeep)
	if err != nil {
		return err
	}
	defer func() { _ = structures.Close() }() // everything is on disk already
	if i.cfg.Shared != nil {
		if err := structures.Reset(); err != nil {
			return err
		}
	}
	structures.Share(i.cfg.Shared)
	i.cfg.Source.History = structures
	i.host = sourceHost(ctx, i.host)
	i.book = meta.NewBook(state)
	i.store = store.New(i.cfg.Store, position.Position{}, time.Now().UnixMicro())
	i.committer = &committer{store: i.store, counters: i.counters, transactionSize: i.cfg.TransactionSize, filterMarkers: i.cfg.FilterMarkers}
	defer i.store.Close()
	if err := i.applyStoredFilters(); err != nil {
		return err
	}
	i.setRunning(true)
	defer i.setRunning(false)
	i.sayStart(len(state.Clients))
	defer i.sayStop()

	// The parts end when nothing is accepted any more: what is acknowledged is saved.
	ctx, end := i.closeFirst(ctx)
	defer end()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(guarded("cursor flusher", func() error { return i.book.Run(ctx, i.keeper, i.cfg.FlushPeriod, i.log.Named("meta")) }))
	g.Go(guarded("client watch", func() error { return i.watchClients(ctx) }))
	g.Go(guarded("retention watch", func() error { return i.watchRetention(ctx) }))
	g.Go(guarded("source", func() error { return i.follow(ctx) }))
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// closeFirst is a context that ends after the given one, when the instance has
// stopped to accept acknowledgements and subscriptions.
func (i *Instance) closeFirst(ctx context.Context) (context.Context, func()) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		if errors.Is(context.Cause(ctx), ErrHandOver) {
			i.drain()
		}
		i.setRunning(false)
		i.closing.Lock()
		defer i.closing.Unlock() // nobody holds it who saw the instance running
		cancel()
	})
	return own, func() {
		if !stop() {
			<-done
		}
		cancel()
	}
}

// ErrHandOver is the cause of a context that ends because another server takes
// the destination over while clients are connected still. What was handed out may
// be acknowledged for a moment, so that the other need not hand it out again.
var ErrHandOver = errors.New("handed over to another server")

// drainMost is that moment at most; clients get nothing meanwhile.
const drainMost = 300 * time.Millisecond

// drain waits until what was handed out is acknowledged, to the end of the
// transaction that the last batch of a client has cut, or the moment is over.
func (i *Instance) drain() {
	i.mu.Lock()
	i.mu.draining = true
	i.mu.Unlock()
	i.shutOnce.Do(func() { close(i.shut) })
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(drainMost); time.Now().Before(end); <-tick.C {
		due := false
		for _, c := range i.store.Stats().Clients {
			due = due || c.Outstanding > 0 || c.Cut
		}
		if !due {
			return
		}
	}
}

// isOpen tells whether anything may be handed out or subscribed.
func (i *Instance) isOpen() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mu.running && !i.mu.draining
}

// sourceHost is the host's name in cursors: as configured if it is a name, else
// what the address resolves to, as Java's resolver would say.
func sourceHost(ctx context.Context, host string) string {
	ip := net.ParseIP(host)
	switch {
	case ip == nil:
		return host
	case ip.IsLoopback() && ip.To4() != nil:
		return "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if names, err := net.DefaultResolver.LookupAddr(ctx, host); err == nil && len(names) > 0 {
		return strings.TrimSuffix(names[0], ".")
	}
	return host
}

func (i *Instance) setRunning(on bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.running = on
	if !on {
		i.shutOnce.Do(func() { close(i.shut) })
	}
}

func (i *Instance) isRunning() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mu.running
}

// applyStoredFilters puts the filters of remembered subscriptions in force, in
// their order, so that the last one that is not blank wins.
func (i *Instance) applyStoredFilters() error {
	for _, c := range i.book.Clients() {
		if c.Filter == nil || strings.TrimSpace(*c.Filter) == "" {
			continue
		}
		f, err := filter.New(*c.Filter)
		if err != nil {
			return fmt.Errorf("stored filter of client %d: %w", c.ID, err)
		}
		i.mu.Lock()
		i.mu.white = f
		i.mu.Unlock()
	}
	return nil
}

// setFilter replaces the white list for all clients, from the next table map on.
func (i *Instance) setFilter(f *filter.Filter) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.white = f
	if i.mu.reader != nil {
		i.mu.reader.Refilter()
	}
}
