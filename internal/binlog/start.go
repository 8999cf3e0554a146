package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/position"
)

// StartConfig is where to start when no cursor says it: canal.instance.master.journal.name,
// position and timestamp.
type StartConfig struct {
	File      string
	Offset    uint64
	Timestamp int64  // ms
	GTID      string // the set behind which to start, in GTID mode
}

// firstOffset is where the first event of every binlog file lies, behind its magic number.
const firstOffset = 4

// Start is the configured place, or the end of the binlog when none is configured.
func (r *Reader) Start(ctx context.Context, c StartConfig) (position.Position, error) {
	end := r.clock.Position
	switch {
	case r.cfg.GTID && c.GTID != "":
		return r.startBehind(ctx, c.GTID)
	case c.File == "" && c.Timestamp > 0:
		return position.Position{}, errors.New("canal.instance.master.timestamp needs canal.instance.master.journal.name: the search goes through one named file")
	case c.File == "":
		if r.cfg.GTID && r.facts.gtids {
			var err error
			if end.GTID, err = r.meta.setAt(ctx, r.clock); err != nil {
				return end, err
			}
		}
		return end, nil
	case c.Offset > 0:
		return position.Position{File: c.File, Offset: c.Offset, ServerID: end.ServerID, Timestamp: end.Timestamp}, nil
	case c.Timestamp > 0:
		return r.boundary(ctx, c.File, func(h event.Header) bool { return int64(h.Timestamp)*1000 >= c.Timestamp })
	}
	return position.Position{File: c.File, Offset: firstOffset, ServerID: end.ServerID, Timestamp: end.Timestamp}, nil
}

// startBehind is the place of the first transaction that a set lacks, with the set.
func (r *Reader) startBehind(ctx context.Context, text string) (position.Position, error) {
	set, err := position.ParseGTIDSet(text)
	if err != nil {
		return position.Position{}, fmt.Errorf("canal.instance.master.gtid: %w", err)
	}
	c, err := SearchGTID(ctx, r.cfg, text)
	if err != nil {
		return position.Position{}, fmt.Errorf("canal.instance.master.gtid: %w", err)
	}
	p := r.clock.Position // all of it is in the set
	if c.File != "" {
		p.File, p.Offset = c.File, c.Offset
	}
	p.GTID = set.String()
	return p, nil
}

// Align returns the begin of the transaction that the place lies in, by reading
// its file up to there.
func (r *Reader) Align(ctx context.Context, p position.Position) (position.Position, error) {
	return r.boundary(ctx, p.File, func(h event.Header) bool { return uint64(h.LogPos) > p.Offset })
}

// boundary is the end of the last transaction in a file before the first event
// that stop accepts, or the file's first event.
func (r *Reader) boundary(ctx context.Context, file string, stop func(event.Header) bool) (position.Position, error) {
	found := position.Position{File: file, Offset: firstOffset, ServerID: r.clock.Position.ServerID, Timestamp: r.clock.Position.Timestamp}
	end, inTransaction := r.clock.Position, false
	var last uint32
	err := walk(ctx, r.cfg, file, func(h event.Header, b []byte) (bool, error) {
		switch {
		case h.Flags&event.FlagArtificial != 0 || h.LogPos == 0:
			return true, nil
		case h.Type == event.TypeStop || stop(h) || h.LogPos < last: // the last: past 4 GiB, where no dump can start
			return false, nil
		}
		last = h.LogPos
		var ended bool
		if ended, inTransaction = endsTransaction(h, b, inTransaction); ended {
			found.Offset, found.ServerID, found.Timestamp = uint64(h.LogPos), int64(h.ServerID), int64(h.Timestamp)*1000
		}
		return file != end.File || uint64(h.LogPos) < end.Offset, nil
	})
	return found, err
}

// endsTransaction tells whether a dump may start behind the event.
func endsTransaction(h event.Header, b []byte, in bool) (ended, inTransaction bool) {
	switch h.Type {
	case event.TypeXID, event.TypeTransactionPayload:
		return true, false
	case event.TypeMariaGTID:
		return false, len(b) > event.HeaderLen+12 && b[event.HeaderLen+12]&1 == 0
	case event.TypeQuery:
		q, err := event.ParseQuery(b)
		if err != nil {
			return false, in
		}
		text := bytes.TrimSpace(q.SQL)
		switch {
		case bytes.EqualFold(text, []byte("BEGIN")), hasWord(text, "XA START"):
			return false, true
		case bytes.EqualFold(text, []byte("COMMIT")), bytes.EqualFold(text, []byte("ROLLBACK")), hasWord(text, "XA"):
			return true, false
		}
		return !in, in
	}
	return false, in
}
