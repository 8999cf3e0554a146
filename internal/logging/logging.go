// Package logging makes the loggers: one for the server, in
// logs/canal/canal.log, and one per destination, in
// logs/<destination>/<destination>.log, as Canal lays them out. Every line goes
// to the console as well. It has no goroutines.
package logging

import (
	"errors"
	"io"
	"path/filepath"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// serverName is the folder and file of the server's own log.
const serverName = "canal"

// Logs owns the log files.
type Logs struct {
	dir     string
	console *lockedWriter
	level   zapcore.Level
	mu      struct {
		sync.Mutex
		files map[string]*file // by name of the folder
	}
}

// Open makes the log folder and the server's file in it.
func Open(dir string, console io.Writer, level zapcore.Level) (*Logs, error) {
	l := &Logs{dir: dir, console: &lockedWriter{w: console}, level: level}
	l.mu.files = map[string]*file{}
	if _, err := l.file(serverName); err != nil {
		return nil, err
	}
	return l, nil
}

// Server is the logger of everything that belongs to no destination.
func (l *Logs) Server() *zap.Logger {
	f, _ := l.file(serverName) // Open made it
	return zap.New(&core{level: l.level, out: []io.Writer{l.console, f}})
}

// Destination is the logger of a destination, named after it. When its file
// cannot be opened its lines go to the server's, with a warning.
func (l *Logs) Destination(name string) *zap.Logger {
	f, err := l.file(name)
	if err != nil {
		server := l.Server()
		server.Warn("no log file for a destination", zap.String(Destination, name), zap.Error(err))
		return server.Named(name)
	}
	return zap.New(&core{level: l.level, out: []io.Writer{l.console, f}}).Named(name)
}

// Close closes all files; lines that come later reach the console only.
func (l *Logs) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, f := range l.mu.files {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

func (l *Logs) file(name string) (*file, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.mu.files[name]; f != nil {
		return f, nil
	}
	f, err := openFile(filepath.Join(l.dir, name, name+".log"), maxFileBytes)
	if err != nil {
		return nil, err
	}
	l.mu.files[name] = f
	return f, nil
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
