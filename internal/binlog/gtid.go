package binlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/position"
)

// gtids is the set that runs along with a dump in GTID mode: all transactions up
// to and with the one that is being read.
type gtids struct {
	set  *position.GTIDSet
	text string
}

// gtidsAt is the set with which a dump begins, nil outside GTID mode. bySet is
// true when the place has one itself, so that the dump is asked for by it; else
// the set at the file and offset is found out.
func (r *Reader) gtidsAt(ctx context.Context, from position.Position) (set *position.GTIDSet, bySet bool, err error) {
	switch {
	case !r.cfg.GTID:
		return nil, false, nil
	case from.GTID != "":
		if set, err = position.ParseGTIDSet(from.GTID); err != nil {
			return nil, false, fmt.Errorf("the cursor's %w", err)
		}
		return set, true, nil
	case !r.facts.gtids:
		return nil, false, nil
	}
	// What was purged lies before all that is there.
	if _, set, err = r.meta.sets(ctx); err != nil {
		return nil, false, err
	}
	err = walk(ctx, r.cfg, from.File, func(h event.Header, b []byte) (bool, error) {
		if h.Flags&event.FlagArtificial != 0 || h.LogPos == 0 {
			return true, nil
		}
		if uint64(h.LogPos) > from.Offset {
			return false, nil
		}
		if err := addGTIDs(set, h, b); err != nil {
			return false, err
		}
		return uint64(h.LogPos) < from.Offset, nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("GTID set at %s: %w", from, err)
	}
	r.log.Info("GTID set at the start found in its file", zap.String("at", from.String()), zap.String("gtid", set.String()))
	return set, false, nil
}

// addGTIDs adds what an event names: a transaction, or all of earlier files.
func addGTIDs(set *position.GTIDSet, h event.Header, b []byte) error {
	switch h.Type {
	case event.TypePreviousGTIDs:
		past, err := position.DecodeGTIDSet(b[event.HeaderLen:])
		if err != nil {
			return fmt.Errorf("previous GTIDs: %w", err)
		}
		set.AddAll(past)
	case event.TypeMariaGTIDList:
		list, err := event.ParseMariaGTIDList(b)
		if err != nil {
			return err
		}
		for _, g := range list {
			set.AddMaria(position.MariaGTID(g))
		}
	case event.TypeGTID, event.TypeGTIDTagged:
		g, err := event.ParseGTID(b, h.Type)
		if err != nil {
			return err
		}
		set.Add(gtid(g))
	case event.TypeMariaGTID:
		g, err := event.ParseMariaGTID(h, b)
		if err != nil {
			return err
		}
		set.AddMaria(position.MariaGTID(g))
	default: // it names none
	}
	return nil
}

func gtid(g event.GTID) position.GTID {
	return position.GTID{UUID: g.UUID, Tag: g.Tag, Number: g.Number}
}

// track follows the running set. From a transaction's GTID event on entries
// carry the set with the transaction, as Canal's do.
func (s *stream) track(h event.Header, b []byte) error {
	if s.gtids == nil {
		return nil
	}
	var props [][2]string
	if h.Type == event.TypeGTID || h.Type == event.TypeGTIDTagged {
		g, err := event.ParseGTID(b, h.Type)
		if err != nil {
			return err
		}
		s.gtids.set.Add(gtid(g))
		props = [][2]string{
			{"curtGtid", gtid(g).String()},
			{"curtGtidSn", strconv.FormatInt(g.SequenceNumber, 10)},
			{"curtGtidLct", strconv.FormatInt(g.LastCommitted, 10)},
		}
	} else if err := addGTIDs(s.gtids.set, h, b); err != nil {
		return err
	}
	before := s.gtids.text
	if h.Type != event.TypeAnonymousGTID {
		s.gtids.text = s.gtids.set.String()
	}
	s.context = entry.NewContext(s.file, s.gtids.text, props...)
	s.context.Before = before
	if h.Type == event.TypePreviousGTIDs {
		s.context.Before = s.gtids.text
	}
	return nil
}

// enter makes the contexts of a file.
func (s *stream) enter(file string) {
	s.file, s.plain = file, entry.NewContext(file, "")
	s.context = s.plain
	if s.gtids != nil && s.gtids.text != "" {
		s.context = entry.NewContext(file, s.gtids.text)
		s.context.Before = s.gtids.text
	}
}

// Sets asks the source which transactions it has, and which of them its binlog
// does not have any more. A MariaDB does not tell the latter.
func (s *session) sets(ctx context.Context) (executed, purged *position.GTIDSet, err error) {
	sql := "SELECT @@global.gtid_executed, @@global.gtid_purged"
	if s.maria {
		sql = "SELECT @@global.gtid_binlog_pos, ''"
	}
	res, err := s.query(ctx, sql)
	if err != nil {
		return nil, nil, err
	}
	defer res.Close()
	for i, set := range []**position.GTIDSet{&executed, &purged} {
		text, err := res.GetString(0, i)
		if err != nil {
			return nil, nil, err
		}
		if *set, err = position.ParseGTIDSet(text); err != nil {
			return nil, nil, err
		}
	}
	return executed, purged, nil
}

// setAt is the set at the end of the binlog, as the source told it.
func (s *session) setAt(ctx context.Context, end Status) (string, error) {
	text := end.GTID
	if s.maria {
		res, err := s.query(ctx, fmt.Sprintf("SELECT BINLOG_GTID_POS('%s', %d)", quote(end.Position.File), end.Position.Offset))
		if err != nil {
			return "", err
		}
		defer res.Close()
		if text, err = res.GetString(0, 0); err != nil {
			return "", err
		}
	}
	set, err := position.ParseGTIDSet(text)
	if err != nil {
		return "", err
	}
	return set.String(), nil
}

// mostShownBytes is kept of a set in an error or a line of the log.
const mostShownBytes = 200

func showSet(set *position.GTIDSet) string {
	text := set.String()
	if len(text) > mostShownBytes {
		return text[:mostShownBytes] + "…"
	}
	return text
}

// explainPurged says which transactions a source does not have any more.
func (r *Reader) explainPurged(ctx context.Context, set *position.GTIDSet, err error) error {
	if !errors.Is(err, ErrPositionPurged) {
		return err
	}
	executed, purged, askErr := r.meta.sets(ctx)
	if askErr != nil {
		return err
	}
	if lost := purged.Without(set); !lost.Empty() {
		return fmt.Errorf("the source has purged transactions that were not received: %s: %w", showSet(lost), err)
	}
	if more := set.Without(executed); !more.Empty() {
		return fmt.Errorf("transactions were received that the source does not have: %s: its binlogs were reset, or it is another source: %w", showSet(more), err)
	}
	return err
}

// compareSets warns of transactions that were received and that the source lacks,
// as after a change to a replica that was behind. When it lacks some of its own its
// binlogs were reset: new ones would get the numbers of those that were received,
// and nobody would be told of them. Older versions do not look for that themselves.
func (r *Reader) compareSets(ctx context.Context, set *position.GTIDSet) error {
	executed, _, err := r.meta.sets(ctx)
	if err != nil {
		return err
	}
	switch more := set.Without(executed); {
	case more.Names(r.facts.id):
		return fmt.Errorf("%w: transactions of its own were received that it does not have: %s: its binlogs were reset, or lost their end", ErrPositionPurged, showSet(more))
	case !more.Empty():
		r.log.Warn("the source lacks transactions that were received already; when it gets them they are not sent again", zap.String("gtid", showSet(more)))
	}
	return nil
}

// writesGTIDs tells whether the source gives transactions names.
func (s *session) writesGTIDs(ctx context.Context) (bool, error) {
	if s.maria {
		return true, nil
	}
	mode, found, err := s.variable(ctx, "gtid_mode")
	return found && !strings.EqualFold(mode, "OFF"), err
}
