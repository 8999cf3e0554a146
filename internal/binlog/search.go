package binlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/position"
)

// walkHeartbeat is how soon a source says that a file has no more events yet.
const walkHeartbeat = 200 * time.Millisecond

// walk is walkFrom from a file's begin.
func walk(ctx context.Context, cfg Config, file string, f func(h event.Header, b []byte) (more bool, err error)) error {
	return walkFrom(ctx, cfg, position.Position{File: file, Offset: firstOffset}, f)
}

// walkFrom reads a file from the begin of an event and gives the events to f until
// f wants no more or the file has none. Events are without their checksum.
func walkFrom(ctx context.Context, cfg Config, from position.Position, f func(h event.Header, b []byte) (more bool, err error)) error {
	cfg.Heartbeat = walkHeartbeat
	s, err := dial(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.close()
	d, err := s.startDump(ctx, cfg, from)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = s.raw.Close() })()
	for {
		raw, err := d.event()
		if err != nil {
			return fmt.Errorf("search in %s: %w", from.File, err)
		}
		if cfg.Counters != nil {
			cfg.Counters.Received.Add(int64(len(raw)))
		}
		h, err := event.ParseHeader(raw)
		if err != nil {
			return err
		}
		switch h.Type {
		case event.TypeFormatDescription:
			format, err := event.ParseFormat(raw)
			if err != nil {
				return err
			}
			d.checksum = format.Checksum == 1
		case event.TypeHeartbeat, event.TypeHeartbeatV2:
			return nil
		case event.TypeRotate:
			if h.Flags&event.FlagArtificial == 0 && h.LogPos > 0 {
				return nil
			}
			continue
		}
		b, err := body(raw, d.checksum)
		if err != nil {
			return err
		}
		if more, err := f(h, b); err != nil || !more {
			return err
		}
	}
}

// ErrNotThere is wrapped by the error of a search for a place that the source's
// binlog does not have any more.
var ErrNotThere = errors.New("the source's binlog does not reach back that far")

// SearchTime finds the place of the first transaction at or after a time, ms
// since 1970: the file by the times at which files begin, newest first, then
// within it. A time that has not come is the end of the binlog.
func SearchTime(ctx context.Context, cfg Config, millis int64) (StartConfig, error) {
	cfg = cfg.withDefaults()
	files, err := Files(ctx, cfg)
	if err != nil {
		return StartConfig{}, err
	}
	for i := range slices.Backward(files) {
		var began int64
		err := walk(ctx, cfg, files[i], func(h event.Header, _ []byte) (bool, error) {
			began = int64(h.Timestamp) * 1000
			return false, nil
		})
		if err != nil {
			return StartConfig{}, err
		}
		// Binlogs tell time in seconds: what is of the same second as a file's
		// begin may stand in the file before it.
		if began < millis || began == millis && i == 0 {
			return StartConfig{File: files[i], Timestamp: millis}, nil
		}
	}
	return StartConfig{}, fmt.Errorf("%w: its oldest file is younger than the time", ErrNotThere)
}

// SearchGTID finds the place of the first transaction that a set does not hold:
// a GTID set of MySQL, or MariaDB's list of domain-server-sequence.
func SearchGTID(ctx context.Context, cfg Config, text string) (StartConfig, error) {
	cfg = cfg.withDefaults()
	set, err := position.ParseGTIDSet(text)
	if err != nil {
		return StartConfig{}, err
	}
	files, err := Files(ctx, cfg)
	if err != nil {
		return StartConfig{}, err
	}
	// Each file begins with what all files before it hold: the first transaction
	// that is missing lies in the newest file of whose past nothing is missing.
	for i := range slices.Backward(files) {
		var found StartConfig
		complete := true
		err := walk(ctx, cfg, files[i], func(h event.Header, b []byte) (bool, error) {
			lacks, before, err := lacking(set, h, b)
			switch {
			case err != nil:
				return false, err
			case !lacks:
				return true, nil
			case before:
				complete = false
			default:
				found = StartConfig{File: files[i], Offset: uint64(h.Start())}
			}
			return false, nil
		})
		switch {
		case err != nil:
			return found, err
		case complete && found.File != "":
			return found, nil
		case complete && i+1 < len(files):
			return StartConfig{File: files[i+1], Offset: firstOffset}, nil
		case complete:
			return StartConfig{}, nil // all of it is in the set: the end
		}
	}
	return StartConfig{}, fmt.Errorf("%w: transactions that the set lacks were purged", ErrNotThere)
}

// lacking tells of an event whether a set lacks what it names; before is true when
// the event tells of earlier files.
func lacking(set *position.GTIDSet, h event.Header, b []byte) (lacks, before bool, err error) {
	named := &position.GTIDSet{}
	if err := addGTIDs(named, h, b); err != nil {
		return false, false, err
	}
	before = h.Type == event.TypePreviousGTIDs || h.Type == event.TypeMariaGTIDList
	return !set.Contains(named), before, nil
}
