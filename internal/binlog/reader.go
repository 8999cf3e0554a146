package binlog

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
)

// Reader follows one source. Open makes it; Run belongs to one goroutine; Refilter
// may be called by any.
type Reader struct {
	cfg   Config
	log   *zap.Logger
	meta  *session // statements about structures and positions
	facts facts
	clock Status

	scanned scan // of the binlog ahead

	history *history.History // the configuration's, or own
	own     bool

	filters atomic.Int64 // counts changes of what SkipTable answers
}

// Open connects to the source, checks what it must have, and reads the
// structures of its tables. Close ends it.
func Open(ctx context.Context, cfg Config, log *zap.Logger) (*Reader, error) {
	r := &Reader{cfg: cfg.withDefaults(), log: log, history: cfg.History}
	var err error
	if r.history == nil {
		if r.history, err = history.Open("", history.Keep{}); err != nil {
			return nil, err
		}
		r.own = true
	}
	if r.meta, err = dial(ctx, r.cfg); err != nil {
		r.Close()
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reader) prepare(ctx context.Context) error {
	if err := r.meta.check(ctx, r.cfg, r.log); err != nil {
		return err
	}
	var err error
	asked := time.Now()
	if r.clock, err = r.meta.status(ctx); err != nil {
		return err
	}
	if r.facts, err = r.meta.facts(ctx, r.cfg.Addr); err != nil {
		return err
	}
	r.history.Fold(r.facts.fold)
	if r.cfg.Counters != nil {
		// The source's clock is told in whole seconds: half a second is the best guess for the rest.
		here := asked.Add(time.Since(asked) / 2).UnixMilli()
		r.cfg.Counters.Skew.Store(r.clock.Position.Timestamp + 500 - here)
	}
	if res, err := r.meta.query(ctx, "SET wait_timeout=9999999"); err == nil {
		res.Close()
	}
	return nil
}

// loadTablesWithin bounds the bulk read of structures. Old servers open every
// table for it; where that takes too long, tables are read one by one.
const loadTablesWithin = 20 * time.Second

// Prepare brings the structures to the place where a dump starts; it comes before Run. Where nothing is
// known of them yet they are read from the source, in bulk; a table that is
// missing then is read when its first row comes.
func (r *Reader) Prepare(ctx context.Context, from position.Position) error {
	w, err := r.history.Begin(r.facts.id, from)
	if err != nil {
		return err
	}
	fields := []zap.Field{zap.String("from", from.String()), zap.Int("statements", w.Statements)}
	switch {
	case w.Gap:
		r.log.Warn("the start lies beyond what was read so far: structures are read from the source as they are now", fields...)
	case w.Moved:
		r.log.Warn("the source is another one than before: structures are taken back by the times of statements", fields...)
	case w.Statements > 0:
		r.log.Info("structures taken back to the start", fields...)
	}
	if r.history.Len() > 0 {
		return r.archiveKnown(ctx)
	}
	if loaded, err := r.loadArchived(ctx, from); loaded || err != nil {
		return err
	}
	return r.loadTables(ctx, from)
}

func (r *Reader) loadTables(ctx context.Context, from position.Position) error {
	start := time.Now()
	began, err := r.meta.status(ctx)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, loadTablesWithin)
	defer cancel()
	tables, err := r.meta.loadTables(limited, noSystem, func(n schema.Name) bool { return !r.skipped(n) }, maxBulkTables)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.log.Warn("table structures cannot be read in bulk; each will be read when its first row comes", zap.Error(err))
		return r.renew(ctx)
	}
	until, err := r.meta.status(ctx)
	if err != nil {
		return err
	}
	if position.Compare(began.Position, until.Position) < 0 {
		switch ahead, err := r.ahead(ctx, began.Position, until.Position); {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			r.log.Warn("the binlog ahead cannot be read for statements that change structures", zap.Error(err))
		case len(ahead.statements) == 0 && !ahead.full:
			until = began // nothing changed while they were read
		}
	}
	list := make([]*schema.Table, 0, len(tables))
	for _, t := range tables {
		list = append(list, t)
	}
	if err := r.history.Learn(list, until.Position); err != nil {
		return err
	}
	if len(list) < maxBulkTables {
		if err := r.history.SetComplete(r.filterName()); err != nil {
			return err
		}
	}
	taken, err := r.history.Adopt(from)
	if err != nil {
		return err
	}
	if taken > 0 {
		r.log.Info("structures taken back to the start by what the server before recorded", zap.Int("statements", taken))
	}
	if err := r.archiveAll(ctx, list); err != nil {
		return err
	}
	r.log.Info("table structures read", zap.Int("tables", len(tables)), zap.Duration("took", time.Since(start)))
	return nil
}

// renew replaces the connection for statements.
func (r *Reader) renew(ctx context.Context) error {
	r.meta.close()
	again, err := dial(ctx, r.cfg)
	if err != nil {
		return err
	}
	r.meta = again
	return nil
}

// Close ends the connections.
func (r *Reader) Close() {
	r.meta.close()
	if r.own {
		_ = r.history.Close() // it has no file
	}
}

// Refilter makes the reader ask SkipTable again for every table, from the next
// table map on. It may be called from any goroutine.
func (r *Reader) Refilter() { r.filters.Add(1) }

// SourceID tells this source from another one that answers at the same address.
func (r *Reader) SourceID() string { return r.facts.id }

// Version is the source's own version text.
func (r *Reader) Version() string { return r.meta.version }

// filterName is never empty.
func (r *Reader) filterName() string {
	if r.cfg.FilterName == nil {
		return "*"
	}
	return "*" + r.cfg.FilterName()
}

func (r *Reader) skipped(n schema.Name) bool {
	return r.cfg.SkipTable != nil && r.cfg.SkipTable(n.Schema, n.Table)
}

// Run dumps from the given place and hands chunks to the sink until the context
// is done or something fails; it never returns nil. The place must be the start
// of an event outside a transaction, or of a transaction's first or last event; in
// GTID mode one with a set is that of the first transaction that is not in it.
func (r *Reader) Run(ctx context.Context, from position.Position, sink Sink) error {
	set, bySet, err := r.gtidsAt(ctx, from)
	if err != nil {
		return err
	}
	s, err := dial(ctx, r.cfg)
	if err != nil {
		return err
	}
	defer s.close()
	var d *dump
	if bySet {
		if err := r.compareSets(ctx, set); err != nil {
			return err
		}
		d, err = s.startDumpBySet(ctx, r.cfg, set)
	} else {
		d, err = s.startDump(ctx, r.cfg, from)
	}
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.raw.Close() })
	defer stop()
	defer r.endDump(ctx, s.conn.GetConnectionID())
	st := &stream{r: r, d: d, sink: sink, maps: map[uint64]*mapped{}, next: uint32(from.Offset), fresh: true}
	if set != nil {
		st.gtids = &gtids{set: set, text: set.String()}
	}
	st.enter(from.File)
	err = st.run(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if bySet {
		err = r.explainPurged(ctx, set, err)
	}
	return fmt.Errorf("dump from %s: %w", from, err)
}

// endDumpWithin bounds the wait for the source's answer at the end of a dump.
const endDumpWithin = time.Second

// endDump ends the source's side of a dump, as Canal does. The source would
// find out by itself only when it has something to send, and list a replica
// until then that is gone. It is no loss when it fails.
func (r *Reader) endDump(ctx context.Context, id uint32) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endDumpWithin)
	defer cancel()
	if res, err := r.meta.query(ctx, fmt.Sprintf("KILL %d", id)); err == nil {
		res.Close()
	}
}

// ErrNoTable is wrapped by the error of rows whose table does not exist any
// more, or cannot be seen by the account.
var ErrNoTable = errors.New("no structure for the table of a row: it was dropped since, or the account lacks SELECT on it; " +
	"repair: GRANT SELECT on it, or leave it out by canal.instance.filter.black.regex or canal.instance.filter.table.error=true")

// ErrInsideTransaction is wrapped by the error of rows without a table map or
// without the begin of a transaction before them: the dump did not start at the begin of their transaction. Align
// finds that begin.
var ErrInsideTransaction = errors.New("row event without a table map: the start position lies inside a transaction")
