package logging

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Bounds of one log: a file is moved aside when it is full, to <name>.1, and
// of those the youngest few are kept.
const (
	maxFileBytes = 128 << 20
	keptFiles    = 7
)

// file is appended to by several loggers.
type file struct {
	path  string
	limit int64
	mu    struct {
		sync.Mutex
		f    *os.File // nil when closed
		size int64
	}
}

func openFile(path string, limit int64) (*file, error) {
	f := &file{path: path, limit: limit}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("log folder: %w", err)
	}
	if err := f.openLocked(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *file) openLocked() error {
	o, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	info, err := o.Stat()
	if err != nil {
		_ = o.Close()
		return fmt.Errorf("log file: %w", err)
	}
	f.mu.f, f.mu.size = o, info.Size()
	return nil
}

func (f *file) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.f == nil {
		return len(p), nil
	}
	if f.mu.size > 0 && f.mu.size+int64(len(p)) > f.limit {
		f.turnLocked()
		if f.mu.f == nil {
			return 0, fmt.Errorf("log file %s could not be opened again", f.path)
		}
	}
	n, err := f.mu.f.Write(p)
	f.mu.size += int64(n)
	return n, err
}

// turnLocked moves the full file aside. A move that fails leaves the file in
// its place: a log that is too long is better than none.
func (f *file) turnLocked() {
	_ = f.mu.f.Close()
	f.mu.f = nil
	for n := keptFiles; n > 1; n-- {
		_ = os.Rename(f.numbered(n-1), f.numbered(n))
	}
	_ = os.Rename(f.path, f.numbered(1))
	_ = f.openLocked()
}

func (f *file) numbered(n int) string { return f.path + "." + strconv.Itoa(n) }

func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.f == nil {
		return nil
	}
	err := f.mu.f.Close()
	f.mu.f = nil
	return err
}
