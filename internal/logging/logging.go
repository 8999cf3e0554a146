// Package logging makes the loggers: one for the server, in
// logs/canal/canal.log, one per destination, in
// logs/<destination>/<destination>.log, and one per destination for the history
// of its cursors, in logs/<destination>/meta.log, as Canal lays them out. Lines
// of the first two go to the console as well.
//
// A file is made with its first line. Writing never fails for the caller: what
// cannot be written is lost, which is said once on the console. The package has
// no goroutines of its own; the library that rolls files keeps one for each file
// it has opened, idle but for compressing, until the process ends.
package logging

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// serverName is the folder and file of the server's own log, and stdoutName the
// file beside it to which the scripts lead the console.
const (
	serverName = "canal"
	stdoutName = "canal_stdout.log"
)

// Names of the thread column and of the logger column where a logger has no name.
const (
	serverThread = "canald"
	serverLogger = "canald"
	ownLogger    = "instance"
)

// The sizes at which files roll, as Canal has them.
const (
	FileMB = 512
	MetaMB = 32
)

// Options are the choices of a set of logs. The zero value logs from Info up,
// to files only.
type Options struct {
	Console io.Writer     // a copy of each line but those of Meta; nil makes none
	Level   zapcore.Level // lines below it are dropped
	JSON    bool          // one JSON object a line in place of Canal's pattern
	FileMB  int           // size at which a log rolls; 0 is FileMB
	MetaMB  int           // the same for meta.log; 0 is MetaMB
}

// Logs owns the log files.
type Logs struct {
	dir     string
	options Options
	notices *lockedWriter // what cannot be said in a log
	console *lockedWriter // nil for none
	mu      struct {
		sync.Mutex
		sinks  map[string]*sink // by path below dir
		closed bool
	}
}

// New makes the log folder and the server's file in it.
func New(dir string, o Options) (*Logs, error) {
	if o.FileMB <= 0 {
		o.FileMB = FileMB
	}
	if o.MetaMB <= 0 {
		o.MetaMB = MetaMB
	}
	l := &Logs{dir: dir, options: o, notices: &lockedWriter{w: os.Stderr}}
	l.mu.sinks = map[string]*sink{}
	path := filepath.Join(dir, serverName, serverName+".log")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("log folder: %w", err)
	}
	if err := touch(path); err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	if o.Console != nil {
		l.notices.w = o.Console
		if !isFile(o.Console, filepath.Join(dir, serverName, stdoutName)) {
			l.console = l.notices
		}
	}
	return l, nil
}

// isFile tells whether the console is the file into which the scripts lead it.
// That file never rolls: with a copy of every line it would fill the disk.
func isFile(console io.Writer, path string) bool {
	f, ok := console.(*os.File)
	if !ok {
		return false
	}
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// Server is the logger of everything that belongs to no destination.
func (l *Logs) Server() *zap.Logger {
	return zap.New(&core{
		level: l.options.Level, thread: serverThread, unnamed: serverLogger,
		form: l.form(), out: l.sink(serverName, serverName+".log", l.options.FileMB, l.console),
	})
}

// Destination is the logger of a destination, whose name stands in the thread
// column. The name must be valid as that of a folder.
func (l *Logs) Destination(name string) *zap.Logger {
	return zap.New(&core{
		level: l.options.Level, thread: name, unnamed: ownLogger, destination: true,
		form: l.form(), out: l.sink(name, name+".log", l.options.FileMB, l.console),
	})
}

// Meta is the logger of the history of a destination's cursors. Its lines have
// a time and a message; they are not on the console and never folded. Lines from
// Info up are written whatever the level of the others is, as Canal does.
func (l *Logs) Meta(name string) *zap.Logger {
	form := formMeta
	if l.options.JSON {
		form = formJSON
	}
	return zap.New(&core{
		level: min(l.options.Level, zapcore.InfoLevel), thread: name, unnamed: metaLogger, destination: true, unfolded: true,
		form: form, out: l.sink(name, metaLogger+".log", l.options.MetaMB, nil),
	})
}

const metaLogger = "meta"

func (l *Logs) form() form {
	if l.options.JSON {
		return formJSON
	}
	return formCanal
}

// Close writes what is held back and closes all files; lines that come later
// reach the console only.
func (l *Logs) Close() error {
	l.mu.Lock()
	l.mu.closed = true
	sinks := make([]*sink, 0, len(l.mu.sinks))
	for _, s := range l.mu.sinks {
		sinks = append(sinks, s)
	}
	l.mu.Unlock()
	var errs []error
	for _, s := range sinks {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// sink is the one sink of a file, whoever asks for it.
func (l *Logs) sink(folder, file string, megabytes int, console *lockedWriter) *sink {
	path := filepath.Join(folder, file)
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.mu.sinks[path]; s != nil {
		return s
	}
	s := newSink(newRolling(filepath.Join(l.dir, path), megabytes), console, l.notices)
	if l.mu.closed {
		_ = s.close() // nothing is open yet
	}
	l.mu.sinks[path] = s
	return s
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
