package instance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
)

// attempt connects, finds where to start, and dumps until something fails.
func (i *Instance) attempt(ctx context.Context, source binlog.Config) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := binlog.Open(ctx, source, i.log.Named("binlog"))
	if err != nil {
		return err
	}
	defer r.Close()
	began := time.Now()
	i.noticeSource(r.SourceID())
	i.sayFindStart()
	from, err := i.findStart(ctx, r)
	if err != nil {
		return fmt.Errorf("find the start: %w", err)
	}
	if err := r.Prepare(ctx, from); err != nil {
		return err
	}
	i.placedOnce.Do(func() { close(i.placed) })
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
	i.sayStartFound(from, began, r.Version())
	i.counters.begun(r.Version())
	defer i.counters.ended()
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
		if err := r.Prepare(ctx, aligned); err != nil {
			return err
		}
		err = i.run(ctx, r, aligned)
	case errors.Is(err, binlog.ErrPositionPurged):
		i.resetPurged(err)
	}
	return err
}

// noticeSource notices that another source answers than in the attempt before, as
// when an address moves to a replica. Its files and offsets mean nothing here: in
// GTID mode all begins anew from the clients' sets, and what they have not
// acknowledged comes again.
func (i *Instance) noticeSource(id string) {
	before := i.source
	i.source = id
	if before == "" || before == id {
		return
	}
	if !i.cfg.Source.GTID {
		i.log.Error("another source answers than before: file and offset may mean something else there; set canal.instance.gtidon=true to continue by GTID, or remove the clients' cursors to begin at its end",
			zap.String("before", before), zap.String("now", id))
		return
	}
	i.log.Warn("another source answers than before: going on by GTID", zap.String("before", before), zap.String("now", id))
	i.attach.Lock()
	defer i.attach.Unlock()
	for _, c := range i.book.Clients() {
		i.store.Detach(c.ID)
	}
	i.mu.Lock()
	i.mu.back, i.mu.returned = position.Position{}, nil
	i.mu.Unlock()
	i.committer.restart(position.Position{})
}

// realign moves the start, and with it the cursors that stand there, back to the
// begin of its transaction, so that clients get the transaction whole.
func (i *Instance) realign(from, aligned position.Position) error {
	i.attach.Lock()
	defer i.attach.Unlock()
	i.store.Reset(aligned)
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
	if p, returned, ok := i.takeBack(); ok {
		i.store.Reset(p)
		i.committer.restart(p)
		// Before the dump starts: what the other clients have had is freed at
		// once, and would be gone when the client asks for it.
		for _, id := range returned {
			if c, ok := i.book.Client(id); ok && c.Cursor != nil {
				if err := i.store.Attach(id, &c.Cursor.Position); err != nil {
					return p, fmt.Errorf("client %d: %w", id, err)
				}
			}
		}
		return p, nil
	}
	if p := i.committer.Resume(); !p.IsZero() {
		return reachable(ctx, r, p)
	}
	var from position.Position
	low, kept := i.book.Smallest(), i.book.Start()
	switch {
	case low != nil:
		i.sayStartFrom(low)
		from = low.Position
	case kept != nil && !kept.Position.IsZero():
		i.sayStartFrom(kept)
		from = kept.Position
	default:
		i.sayStartFrom(nil)
		if err := i.cfg.Source.History.Reset(); err != nil {
			return from, err
		}
		p, err := r.Start(ctx, i.cfg.Start)
		if err != nil {
			return p, err
		}
		from = p
	}
	from = i.startSet(from, i.book.Clients())
	if from.File == "" && from.GTID == "" {
		return from, errors.New("the cursor names no binlog file")
	}
	from, err := reachable(ctx, r, from)
	if err != nil {
		return from, err
	}
	i.store.Reset(from)
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
	return from, nil
}

// startSet gives a start the set that all of the clients have had, in GTID mode: it
// counts, and file and offset need not be of this source. One client's cursor
// without a set makes the dump start by file and offset.
func (i *Instance) startSet(from position.Position, clients []meta.Client) position.Position {
	if !i.cfg.Source.GTID {
		from.GTID = ""
	}
	if from.GTID == "" {
		return from
	}
	set, err := position.ParseGTIDSet(from.GTID)
	if err != nil {
		return from // the reader says what is wrong with it
	}
	for _, c := range clients {
		if c.Cursor == nil {
			continue
		}
		has, err := position.ParseGTIDSet(c.Cursor.Position.GTID)
		if err != nil || has.Empty() {
			from.GTID = ""
			return from
		}
		set = set.Common(has)
	}
	from.GTID = set.String()
	return from
}

// reachable is a place where a dump can start. The protocol has no offsets above
// 4 GiB; only one huge transaction makes a file so long, so the dump starts at
// its begin, and what lies before the cursors is passed over.
func reachable(ctx context.Context, r *binlog.Reader, p position.Position) (position.Position, error) {
	if p.Offset <= math.MaxUint32 || p.GTID != "" {
		return p, nil
	}
	aligned, err := r.Align(ctx, p)
	if err != nil {
		return p, fmt.Errorf("begin of the transaction at %s: %w", p, err)
	}
	return aligned, nil
}

// takeBack is the place that returned clients asked for, or the cursor of an
// attached client that lies before it.
func (i *Instance) takeBack() (p position.Position, returned []meta.ClientID, ok bool) {
	i.mu.Lock()
	p, returned = i.mu.back, i.mu.returned
	i.mu.back, i.mu.returned = position.Position{}, nil
	i.mu.Unlock()
	if p.IsZero() {
		return p, nil, false
	}
	var served []meta.Client
	for _, c := range i.book.Clients() {
		attached := i.store.Attached(c.ID)
		if attached || slices.Contains(returned, c.ID) {
			served = append(served, c)
		}
		if c.Cursor != nil && attached && position.Before(c.Cursor.Position, p) {
			p = c.Cursor.Position
		}
	}
	return i.startSet(p, served), returned, true
}

func (i *Instance) cursor(p position.Position) position.Cursor {
	return position.Cursor{Host: i.host, Port: i.port, Position: p}
}
