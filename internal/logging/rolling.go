package logging

import (
	"os"
	"path/filepath"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// keptDays is how long rolled files are kept.
const keptDays = 14

// rolling is a file that rolls by day and by size. Rolled files stand beside
// it, named after the moment they rolled: d-2026-11-24T00-00-03.120.log.gz. It is
// for one goroutine at a time.
type rolling struct {
	path   string
	file   *lumberjack.Logger
	opened bool
	day    int64 // of the last line
	torn   bool  // the last line was cut short by an error
}

func newRolling(path string, megabytes int) *rolling {
	return &rolling{path: path, file: &lumberjack.Logger{
		Filename: path, MaxSize: megabytes, MaxAge: keptDays, LocalTime: true, Compress: true,
	}}
}

// write appends a line of the given moment.
func (r *rolling) write(now time.Time, line []byte) error {
	today := dayOf(now)
	if !r.opened {
		r.open(today)
	}
	if r.day != today {
		// Tried once a day: a log that cannot be moved aside goes on being written.
		r.day = today
		if r.file.Rotate() == nil {
			r.torn = false
		}
	}
	if r.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := r.file.Write(line)
	if n > 0 {
		r.torn = n < len(line)
	}
	if err != nil {
		_ = r.close() // the next line tries from the start: the folder may be gone, or the file another
	}
	return err
}

// open finds the day of what a former process wrote, and makes the file: the
// library would make it readable to its owner only.
func (r *rolling) open(today int64) {
	r.opened = true
	if info, err := os.Stat(r.path); err == nil {
		r.day = today
		if info.Size() > 0 {
			r.day = dayOf(info.ModTime())
		}
		return
	}
	r.day = today
	if os.MkdirAll(filepath.Dir(r.path), 0o755) == nil {
		_ = touch(r.path) // what is wrong shows when it is written
	}
}

// close closes the file; a write opens it again.
func (r *rolling) close() error {
	r.opened = false
	return r.file.Close()
}

func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// dayOf numbers the days of the local calendar.
func dayOf(t time.Time) int64 {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
}
