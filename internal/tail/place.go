package tail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/canald/canald/internal/binlog"
)

// firstOffset is that of the first event of every binlog file.
const firstOffset = 4

// place is where --from points to; nothing is the end of the binlog.
func place(ctx context.Context, cfg binlog.Config, from string, now time.Time, say func(string)) (binlog.StartConfig, error) {
	from = strings.TrimSpace(from)
	if from == "" || from == "now" {
		return binlog.StartConfig{}, nil
	}
	if t, ok := parseTime(from, now); ok {
		start, err := binlog.SearchTime(ctx, cfg, t.UnixMilli())
		if !errors.Is(err, binlog.ErrNotThere) {
			return start, err
		}
		// Who asks for the last hour of a server that is younger wants all it has.
		files, err := binlog.Files(ctx, cfg)
		if err != nil || len(files) == 0 {
			return start, err
		}
		say("the source's binlog begins later than that: shown from its begin, " + files[0])
		return binlog.StartConfig{File: files[0], Offset: firstOffset}, nil
	}
	if file, offset, ok := parsePlace(from); ok {
		files, err := binlog.Files(ctx, cfg)
		if err == nil && !slices.Contains(files, file) {
			return binlog.StartConfig{}, fmt.Errorf("%w: it has %s", binlog.ErrNotThere, span(files))
		}
		return binlog.StartConfig{File: file, Offset: offset}, nil
	}
	return binlog.SearchGTID(ctx, cfg, from)
}

// span names the first and the last file.
func span(files []string) string {
	switch len(files) {
	case 0:
		return "no files"
	case 1:
		return files[0]
	}
	return files[0] + " to " + files[len(files)-1]
}

// parsePlace reads FILE:OFFSET, or a file alone, whose name has a number at its
// end as no GTID has.
func parsePlace(from string) (file string, offset uint64, ok bool) {
	file, text, has := strings.Cut(from, ":")
	dot := strings.LastIndexByte(file, '.')
	if dot <= 0 {
		return "", 0, false
	}
	if _, err := strconv.ParseUint(file[dot+1:], 10, 64); err != nil {
		return "", 0, false
	}
	if has {
		var err error
		if offset, err = strconv.ParseUint(text, 10, 64); err != nil {
			return "", 0, false
		}
	}
	return file, max(offset, firstOffset), true
}

// parseTime reads a time, or -10m for ten minutes ago.
func parseTime(from string, now time.Time) (time.Time, bool) {
	if d, err := time.ParseDuration(from); err == nil && d < 0 {
		return now.Add(d), true
	}
	if t, err := time.Parse(time.RFC3339, from); err == nil {
		return t, true
	}
	for _, layout := range []string{time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, from, time.Local); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
