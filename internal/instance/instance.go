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
	"math/rand/v2"
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
	host      string // of the source, as cursors name it
	port      int

	// placed is closed when the place of the source is known for the first time.
	placed     chan struct{}
	placedOnce sync.Once

	// attach serialises what moves clients in and out of the store.
	attach sync.Mutex

	mu struct {
		sync.Mutex
		running bool
		reader  *binlog.Reader
		white   *filter.Filter
		start   position.Position       // where the stream started; zero before it is known
		restart context.CancelCauseFunc // ends the dump that runs; nil when none does
		back    position.Position       // where a returned client needs the next dump to start
		lastErr error
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
	i := &Instance{cfg: cfg, keeper: keeper, log: log, placed: make(chan struct{})}
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
	return i, nil
}

// skipTable applies the white and the black list to a table.
func (i *Instance) skipTable(schema, table string) bool {
	i.mu.Lock()
	white := i.mu.white
	i.mu.Unlock()
	name := schema + "." + table
	return !white.Empty() && !white.Match(name) || !i.black.Empty() && i.black.Match(name)
}

// Run loads the metadata and follows the source until the context is done,
// however often the source fails. It returns an error only for what a retry of
// the dump cannot mend: metadata that cannot be read.
func (i *Instance) Run(ctx context.Context) error {
	state, err := i.keeper.Load(ctx, i.cfg.Destination)
	if err != nil {
		return fmt.Errorf("load cursors: %w", err)
	}
	i.host = sourceHost(ctx, i.host)
	i.book = meta.NewBook(state)
	i.store = store.New(i.cfg.Store, store.Mark{}, time.Now().UnixMicro())
	i.committer = &committer{store: i.store, transactionSize: i.cfg.TransactionSize, filterMarkers: i.cfg.FilterMarkers}
	defer i.store.Close()
	if err := i.applyStoredFilters(); err != nil {
		return err
	}
	i.setRunning(true)
	defer i.setRunning(false)
	i.log.Info("instance started", zap.String("source", i.cfg.Source.Addr), zap.Int("clients", len(state.Clients)))
	defer i.log.Info("instance stopped")

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return i.book.Run(ctx, i.keeper, i.cfg.FlushPeriod, i.log.Named("meta")) })
	g.Go(func() error { return i.watchClients(ctx) })
	g.Go(func() error { return i.watchRetention(ctx) })
	g.Go(func() error { return i.follow(ctx) })
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
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
}

func (i *Instance) isRunning() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mu.running
}

// follow dumps again and again. Pauses grow while nothing gets through and
// start small again once something did.
func (i *Instance) follow(ctx context.Context) error {
	source := i.cfg.Source
	pause := i.cfg.RetryMin
	evicted := 0 // dumps in a row that the source ended soon after they began
	for {
		began := time.Now()
		before := i.store.Stats().Put
		err := i.attempt(ctx, source)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errRestart):
			continue
		case errors.Is(err, errParked):
			if err := i.waitForRoom(ctx); err != nil {
				return err
			}
			continue
		}
		if i.store.Stats().Put > before || time.Since(began) > i.cfg.RetryMax {
			pause = i.cfg.RetryMin
		}
		if errors.Is(err, binlog.ErrSourceClosed) && time.Since(began) < i.cfg.RetryMax {
			evicted++
		} else {
			evicted = 0
		}
		source.ServerID = i.checkServerID(source.ServerID, evicted)
		wait := pause/2 + rand.N(pause/2+1)
		i.setError(err)
		i.log.Error("source lost; trying again", zap.Error(err), zap.Duration("pause", wait))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(2*pause, i.cfg.RetryMax)
	}
}

// suspectEvictions is how many dumps in a row the source has to end soon after
// their begin before another replica with the same id is suspected.
const suspectEvictions = 3

// checkServerID says so when two replicas seem to share an id, and returns
// another one if the id was generated.
func (i *Instance) checkServerID(id uint32, evicted int) uint32 {
	if evicted == 0 || evicted%suspectEvictions != 0 {
		return id
	}
	next := id
	if i.cfg.GeneratedID {
		next = id&0xff000000 | rand.Uint32()&0x00ffffff
	}
	i.log.Error("the source ends each dump soon after it begins: another replica probably uses the same id; set canal.instance.mysql.slaveId to a number that is unique among the source's replicas",
		zap.Uint32("slave_id", id), zap.Uint32("next_slave_id", next))
	return next
}

// waitForRoom waits until the store can take entries again.
func (i *Instance) waitForRoom(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		i.mu.Lock()
		back := !i.mu.back.IsZero()
		i.mu.Unlock()
		if back || i.store.HasRoom() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (i *Instance) setError(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.lastErr = err
}

// attempt connects, finds where to start, and dumps until something fails.
func (i *Instance) attempt(ctx context.Context, source binlog.Config) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := binlog.Open(ctx, source, i.log.Named("binlog"))
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.LoadTables(ctx); err != nil {
		return err
	}
	from, err := i.findStart(ctx, r)
	if err != nil {
		return fmt.Errorf("find the start: %w", err)
	}
	i.mu.Lock()
	i.mu.reader, i.mu.restart = r, cancel
	back := !i.mu.back.IsZero()
	i.mu.Unlock()
	defer func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.mu.reader, i.mu.restart = nil, nil
	}()
	if back { // a client returned after the start was found
		return errRestart
	}
	i.log.Info("dump starts", zap.String("position", from.String()), zap.String("version", r.Version()))
	i.committer.begin()
	err = i.run(ctx, r, from)
	switch {
	case errors.Is(err, binlog.ErrInsideTransaction):
		aligned, alignErr := r.Align(ctx, from)
		if alignErr != nil {
			return fmt.Errorf("%w; its begin cannot be found: %w", err, alignErr)
		}
		i.log.Warn("start lies inside a transaction; going back to its begin", zap.String("from", from.String()), zap.String("to", aligned.String()))
		if err := i.realign(from, aligned); err != nil {
			return err
		}
		err = i.run(ctx, r, aligned)
	case errors.Is(err, binlog.ErrPositionPurged):
		i.resetPurged(err)
	}
	return err
}

// realign moves the start, and with it the cursors that stand there, back to the
// begin of its transaction, so that clients get the transaction whole.
func (i *Instance) realign(from, aligned position.Position) error {
	i.attach.Lock()
	defer i.attach.Unlock()
	i.store.Reset(store.Mark{File: aligned.File, Offset: aligned.Offset})
	i.committer.restart(aligned)
	for _, c := range i.book.Clients() {
		if c.Cursor == nil || position.Compare(c.Cursor.Position, from) != 0 {
			continue
		}
		i.book.SetCursor(c.ID, i.cursor(aligned))
		i.store.Detach(c.ID)
		if err := i.store.Attach(c.ID, &aligned); err != nil {
			return fmt.Errorf("client %d: %w", c.ID, err)
		}
	}
	return nil
}

// resetPurged forgets a start that the source does not have any more, when
// nobody would lose anything by it or the operator allows it.
func (i *Instance) resetPurged(cause error) {
	acked := len(i.book.Clients()) > 0
	if acked && !i.cfg.ResetWhenPurged {
		i.log.Error("the source no longer has what a client's cursor asks for; remove that client from meta.dat if it is not used any more, or set canal.auto.reset.latest.pos.mode=true to go on at the end and lose the gap",
			zap.Any("client_ids", i.clientsAt(i.book.Smallest())), zap.Error(cause))
		return
	}
	i.log.Error("the start position is gone from the source; going on at the end of its binlog", zap.Error(cause))
	i.attach.Lock()
	defer i.attach.Unlock()
	i.mu.Lock()
	i.mu.start = position.Position{}
	i.mu.Unlock()
	i.committer.restart(position.Position{})
	i.book.Forget()
}

// clientsAt lists the clients whose cursor stands at the given one.
func (i *Instance) clientsAt(at *position.Cursor) []meta.ClientID {
	var ids []meta.ClientID
	for _, c := range i.book.Clients() {
		if at != nil && c.Cursor != nil && c.Cursor.Position == at.Position {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// findStart is where this dump begins: where the last one of this run got to,
// else the smallest cursor, else the start that was kept, else the configured
// place or the end.
func (i *Instance) findStart(ctx context.Context, r *binlog.Reader) (position.Position, error) {
	i.attach.Lock()
	defer i.attach.Unlock()
	if p, ok := i.takeBack(); ok {
		i.store.Reset(store.Mark{File: p.File, Offset: p.Offset})
		i.committer.restart(p)
		return p, nil
	}
	if p := i.committer.Resume(); !p.IsZero() {
		return p, nil
	}
	var from position.Position
	low, kept := i.book.Smallest(), i.book.Start()
	switch {
	case low != nil:
		from = low.Position
	case kept != nil && !kept.Position.IsZero():
		from = kept.Position
	default:
		p, err := r.Start(ctx, i.cfg.Start)
		if err != nil {
			return p, err
		}
		from = p
	}
	if from.File == "" {
		return from, fmt.Errorf("the cursor names no binlog file")
	}
	i.store.Reset(store.Mark{File: from.File, Offset: from.Offset})
	i.committer.restart(from)
	i.mu.Lock()
	i.mu.start = from
	i.mu.Unlock()
	if low == nil {
		i.book.SetStart(i.cursor(from))
	}
	for _, c := range i.book.Clients() {
		if c.Cursor == nil {
			i.book.SetCursor(c.ID, i.cursor(from))
		}
		cur := from
		if c.Cursor != nil {
			cur = c.Cursor.Position
		}
		if err := i.store.Attach(c.ID, &cur); err != nil {
			return from, fmt.Errorf("client %d: %w", c.ID, err)
		}
	}
	i.placedOnce.Do(func() { close(i.placed) })
	return from, nil
}

// takeBack is the place that a returned client asked for, or the cursor of an
// attached client that lies before it.
func (i *Instance) takeBack() (position.Position, bool) {
	i.mu.Lock()
	p := i.mu.back
	i.mu.back = position.Position{}
	i.mu.Unlock()
	if p.IsZero() {
		return p, false
	}
	for _, c := range i.book.Clients() {
		if c.Cursor != nil && i.store.Attached(c.ID) && position.Compare(c.Cursor.Position, p) < 0 {
			p = c.Cursor.Position
		}
	}
	return p, true
}

func (i *Instance) cursor(p position.Position) position.Cursor {
	return position.Cursor{Host: i.host, Port: i.port, Position: p}
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

// watchClients detaches clients that hold the store full while they are away,
// and ends the dump when nobody makes room for long: the source would end it
// itself one day, and holds resources for it until then.
func (i *Instance) watchClients(ctx context.Context) error {
	tick := time.NewTicker(max(min(i.cfg.AbsentAfter/4, time.Second), 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if id, ok := i.store.Absent(i.cfg.AbsentAfter); ok {
			i.log.Warn("client is away and holds the store full: detached; its cursor stays and its return restarts the dump there",
				zap.Int16("client_id", int16(id)), zap.Duration("away", i.cfg.AbsentAfter))
			i.store.Detach(id)
		}
		if since := i.store.BlockedSince(); !since.IsZero() && time.Since(since) > i.cfg.ParkAfter {
			i.log.Warn("store is full and no client makes room: the dump ends until one does", zap.Duration("full_for", time.Since(since)))
			i.endDump(errParked)
		}
	}
}

// endDump ends the dump that runs, if one does.
func (i *Instance) endDump(cause error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.mu.restart != nil {
		i.mu.restart(cause)
	}
}

// watchRetention warns before the source purges what a cursor still needs.
func (i *Instance) watchRetention(ctx context.Context) error {
	tick := time.NewTicker(i.cfg.RetentionEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		low := i.book.Smallest()
		if low == nil {
			continue
		}
		files, err := binlog.Files(ctx, i.cfg.Source)
		if err != nil {
			i.log.Debug("binlog files of the source cannot be listed", zap.Error(err))
			continue
		}
		if len(files) > 1 && position.CompareFiles(low.Position.File, files[0]) <= 0 {
			i.log.Warn("a client's cursor stands in the oldest binlog file of the source, or before it: the next purge loses what the client has not got; let the client catch up or keep binlogs longer",
				zap.String("cursor", low.Position.String()), zap.String("oldest", files[0]))
		}
	}
}
