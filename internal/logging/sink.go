package logging

import (
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

// sink takes the lines of one file, of several loggers.
type sink struct {
	console *lockedWriter // nil for none
	notices *lockedWriter
	mu      struct {
		sync.Mutex
		file   *rolling
		folds  *folds
		timer  *time.Timer // ends the oldest window with lines held back; nil without one
		closed bool
		lost   int // lines since the file cannot be written
	}
}

func newSink(file *rolling, console, notices *lockedWriter) *sink {
	s := &sink{console: console, notices: notices}
	s.mu.file, s.mu.folds = file, newFolds()
	return s
}

// write writes a line, or counts it when it is one too many of its kind.
func (s *sink) write(c *core, e zapcore.Entry, fields []zapcore.Field) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.unfolded || e.Level < zapcore.WarnLevel || s.mu.closed {
		s.lineLocked(e.Time, c.render(e, fields))
		return
	}
	s.flushLocked(e.Time, false)
	if s.mu.folds.take(c, e, c.fields, fields) {
		s.lineLocked(e.Time, c.render(e, fields))
		return
	}
	if s.mu.timer == nil {
		s.mu.timer = time.AfterFunc(foldWindow, s.tick)
	}
}

// tick ends windows for which no later line comes.
func (s *sink) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.timer = nil
	if s.mu.closed {
		return
	}
	if s.flushLocked(time.Now(), false) {
		s.mu.timer = time.AfterFunc(foldWindow, s.tick)
	}
}

// flushLocked reports the lines held back in windows that are over, or in all.
// It tells whether others are left.
func (s *sink) flushLocked(now time.Time, all bool) bool {
	done, left := s.mu.folds.over(now, all)
	for _, f := range done {
		e := f.entry
		e.Time = now
		e.Message = fmt.Sprintf("%s: repeated %d times in %s", e.Message, f.held, f.last.Sub(f.first).Round(100*time.Millisecond))
		s.lineLocked(now, f.core.render(e, f.cause))
	}
	return left
}

// lineLocked writes to the console and the file. A file that cannot be written
// is named once on the console, and again when it can be.
func (s *sink) lineLocked(now time.Time, line []byte) {
	if s.console != nil {
		_, _ = s.console.Write(line)
	}
	if s.mu.closed {
		return
	}
	if err := s.mu.file.write(now, line); err != nil {
		if s.mu.lost == 0 {
			_, _ = fmt.Fprintf(s.notices, "log file %s cannot be written, lines are lost until it can: %v\n", s.mu.file.path, err)
		}
		s.mu.lost++
		return
	}
	if s.mu.lost > 0 {
		_, _ = fmt.Fprintf(s.notices, "log file %s is written again, %d lines were lost\n", s.mu.file.path, s.mu.lost)
		s.mu.lost = 0
	}
}

func (s *sink) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return nil
	}
	if s.mu.timer != nil {
		s.mu.timer.Stop()
		s.mu.timer = nil
	}
	s.flushLocked(time.Now(), true)
	s.mu.closed = true
	return s.mu.file.close()
}
