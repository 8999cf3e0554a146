package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// closingMark is in the lock file while close-session holds it, which is not for
// long: a start waits for it.
const closingMark = "close-session"

var errLocked = errors.New("another canald runs in this folder")

// lockRetry is the pause between two looks at such a lock; markWithin is how long
// close-session may take from its lock to its mark on a busy machine.
const (
	lockRetry  = 50 * time.Millisecond
	markWithin = 500 * time.Millisecond
)

// lockServer takes the lock of a home for its server.
func lockServer(logDir string) (*os.File, error) {
	began := time.Now()
	for end := began.Add(closeDeadBound + time.Second); ; {
		lock, err := lockHome(logDir)
		if !errors.Is(err, errLocked) || time.Now().After(end) {
			return lock, err
		}
		// A mark that was left behind is removed by who takes the lock next.
		mark, readErr := os.ReadFile(lockPath(logDir))
		marked := readErr == nil && strings.TrimSpace(string(mark)) == closingMark
		if !marked && time.Since(began) > markWithin {
			return lock, err
		}
		<-time.After(lockRetry)
	}
}

func lockPath(logDir string) string { return filepath.Join(logDir, "canal.lock") }

// lockHome takes the lock that keeps a second process from writing the same
// cursors and logs. It is held until the file is closed or the process ends,
// however it ends; the file itself stays, and may be there without a lock.
func lockHome(logDir string) (*os.File, error) {
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		return nil, fmt.Errorf("log folder: %w", err)
	}
	path := lockPath(logDir)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		_ = f.Close()
		return nil, fmt.Errorf("%w: it holds %s", errLocked, path)
	case err != nil:
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock file: %w", err)
	}
	return f, nil
}
