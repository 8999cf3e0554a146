package logging

import (
	"cmp"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Of equal lines, foldedFrom are written within foldWindow from the first; the
// others are counted and reported together. Kinds of lines beyond mostFolds are
// all written: what varies so much is no repetition.
const (
	foldWindow = 10 * time.Second
	foldedFrom = 5
	mostFolds  = 256
)

// kind is what makes two lines equal.
type kind struct {
	thread, logger, message, cause string
	level                          zapcore.Level
}

type folded struct {
	core        *core
	entry       zapcore.Entry
	cause       []zapcore.Field // the error, as text
	first, last time.Time
	seen, held  int
}

// folds counts equal lines. It has no lock and no clock.
type folds struct {
	byKind map[kind]*folded
}

func newFolds() *folds { return &folds{byKind: map[kind]*folded{}} }

// take tells whether a line is to be written. Windows that are over must have
// been taken out before.
func (fs *folds) take(c *core, e zapcore.Entry, groups ...[]zapcore.Field) bool {
	cause := causeOf(groups)
	k := kind{c.thread, e.LoggerName, e.Message, "", e.Level}
	if len(cause) > 0 {
		k.cause = cause[0].String
	}
	f := fs.byKind[k]
	if f == nil {
		if len(fs.byKind) < mostFolds {
			fs.byKind[k] = &folded{core: c.bare(), entry: e, cause: cause, first: e.Time, last: e.Time, seen: 1}
		}
		return true
	}
	f.last = e.Time
	if f.seen++; f.seen <= foldedFrom {
		return true
	}
	f.held++
	return false
}

// over takes out the windows that have ended, or all, and returns those with
// lines held back, the oldest first. It tells whether such windows are left.
func (fs *folds) over(now time.Time, all bool) (done []*folded, left bool) {
	for k, f := range fs.byKind {
		since := now.Sub(f.first)
		switch {
		case all || since >= foldWindow || since < -foldWindow: // a clock set back ends it too
			delete(fs.byKind, k)
			if f.held > 0 {
				done = append(done, f)
			}
		case f.held > 0:
			left = true
		}
	}
	slices.SortFunc(done, func(a, b *folded) int {
		return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.entry.Message, b.entry.Message))
	})
	return done, left
}

// causeOf is the first error among the fields, as text.
func causeOf(groups [][]zapcore.Field) []zapcore.Field {
	for _, fields := range groups {
		for _, f := range fields {
			if f.Type != zapcore.ErrorType {
				continue
			}
			if text, ok := valueOf(f).(string); ok {
				return []zapcore.Field{zap.String(f.Key, text)}
			}
		}
	}
	return nil
}

// valueOf asks zap for the value, which survives an error whose Error panics.
func valueOf(f zapcore.Field) any {
	m := zapcore.NewMapObjectEncoder()
	f.AddTo(m)
	return m.Fields[f.Key]
}
