package binlog

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

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
	has, err := parseGTIDs(text)
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
			known, before, err := has(h, b)
			switch {
			case err != nil:
				return false, err
			case known:
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

// parseGTIDs makes a function that tells of an event whether the set holds it,
// or all that it names; before is true when the event tells of earlier files.
func parseGTIDs(text string) (func(h event.Header, b []byte) (known, before bool, err error), error) {
	text = strings.Join(strings.Fields(text), "")
	if strings.Contains(text, ":") {
		set, err := mysql.ParseMysqlGTIDSet(text)
		if err != nil {
			return nil, fmt.Errorf("GTID set %q: %w", text, err)
		}
		return func(h event.Header, b []byte) (bool, bool, error) { return mysqlHas(set, h, b) }, nil
	}
	last := map[uint32]uint64{}
	for g := range strings.SplitSeq(text, ",") {
		parts := strings.Split(g, "-")
		if len(parts) != 3 {
			return nil, fmt.Errorf("GTID %q: uuid:n-m of MySQL or domain-server-sequence of MariaDB is expected", g)
		}
		domain, err1 := strconv.ParseUint(parts[0], 10, 32)
		_, err2 := strconv.ParseUint(parts[1], 10, 32)
		sequence, err3 := strconv.ParseUint(parts[2], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("GTID %q: %w", g, err)
		}
		last[uint32(domain)] = sequence
	}
	return func(h event.Header, b []byte) (bool, bool, error) { return mariaHas(last, h, b) }, nil
}

const sidBytes = 16

func mysqlHas(set mysql.GTIDSet, h event.Header, b []byte) (known, before bool, err error) {
	b = b[event.HeaderLen:]
	switch h.Type {
	case event.TypePreviousGTIDs:
		past, err := mysql.DecodeMysqlGTIDSet(b)
		if err != nil {
			return false, true, fmt.Errorf("previous GTIDs: %w", err)
		}
		return set.Contain(past), true, nil
	case event.TypeGTID:
		if len(b) < 1+sidBytes+8 {
			return false, false, event.ErrShort
		}
		sid := hex.EncodeToString(b[1 : 1+sidBytes])
		one := fmt.Sprintf("%s-%s-%s-%s-%s:%d", sid[:8], sid[8:12], sid[12:16], sid[16:20], sid[20:], binary.LittleEndian.Uint64(b[1+sidBytes:]))
		gtid, err := mysql.ParseMysqlGTIDSet(one)
		if err != nil {
			return false, false, err
		}
		return set.Contain(gtid), false, nil
	case event.TypeGTIDTagged:
		return false, false, errors.New("the binlog has tagged GTIDs, which a search by GTID cannot compare; name a file and offset, or a time")
	}
	return true, false, nil
}

func mariaHas(last map[uint32]uint64, h event.Header, b []byte) (known, before bool, err error) {
	b = b[event.HeaderLen:]
	switch h.Type {
	case event.TypeMariaGTIDList:
		if len(b) < 4 {
			return false, true, event.ErrShort
		}
		n := int(binary.LittleEndian.Uint32(b) & (1<<28 - 1))
		if len(b) < 4+16*n {
			return false, true, event.ErrShort
		}
		for i := range n {
			g := b[4+16*i:]
			if binary.LittleEndian.Uint64(g[8:]) > last[binary.LittleEndian.Uint32(g)] {
				return false, true, nil
			}
		}
	case event.TypeMariaGTID:
		if len(b) < 12 {
			return false, false, event.ErrShort
		}
		return binary.LittleEndian.Uint64(b) <= last[binary.LittleEndian.Uint32(b[8:])], false, nil
	}
	return true, false, nil
}
