package instance

import (
	"context"
	"crypto/sha256"
	"time"

	"go.uber.org/zap"
)

// File is a destination's configuration file as a scan found it.
type File struct {
	ModTime time.Time
	Size    int64
	Err     error                  // the file cannot be looked at: leave the destination as it is
	Read    func() ([]byte, error) // its content
}

// stamp tells one state of a file from another without reading it.
type stamp struct {
	modTime time.Time
	size    int64
}

func (f File) stamp() stamp { return stamp{f.ModTime, f.Size} }

// scanner keeps the running destinations equal to the files that are there. It
// belongs to the host's own goroutine.
type scanner struct {
	host  *Host
	start func(name, notice string) *member
	first bool // the files were there before this process, and nobody is writing them
	known map[string]*known
	// What may still be being written, as the last scan saw it.
	unsettled map[string]stamp
	// Files that the last scan missed: an editor may be replacing them.
	missed map[string]bool
}

// stopMost bounds the wait for a destination that was removed; the others'
// changes are not seen meanwhile.
const stopMost = 10 * time.Second

// known is a destination that runs here, with the state of its file that it was
// started from.
type known struct {
	member *member
	stamp  stamp
	sum    [sha256.Size]byte
	seen   bool // its file was found once
}

// scan looks once. What goes wrong with one destination is reported and tried
// again at the next scan; the others do not notice.
func (s *scanner) scan(ctx context.Context) {
	found, err := s.host.cfg.Scan()
	if err != nil {
		s.host.log.Error("scan failed", zap.Error(err))
		return
	}
	for name, f := range found {
		delete(s.missed, name)
		switch k := s.known[name]; {
		case f.Err != nil:
			s.host.log.Error("scan failed", zap.String("destination", name), zap.Error(f.Err))
		case k != nil && k.seen && k.stamp == f.stamp():
			delete(s.unsettled, name)
			if s.host.waits(k.member) { // it looked while the file was being replaced
				s.host.reload(k.member, "start")
			}
		case !s.settled(name, f):
		default:
			if err := s.take(name, f, k); err != nil {
				s.host.log.Error("scan failed", zap.String("destination", name), zap.Error(err))
			}
		}
	}
	for name, k := range s.known {
		if _, ok := found[name]; ok || !k.seen {
			continue
		}
		if !s.missed[name] {
			s.missed[name] = true
			continue
		}
		k.member.stop()
		late := time.NewTimer(stopMost)
		select {
		case <-k.member.done:
			delete(s.missed, name)
			delete(s.known, name)
			s.host.log.Info("auto notify stop " + name + " successful.")
		case <-late.C: // the next scan waits again
			s.host.log.Error("scan delete found["+name+"] but stop failed", zap.Duration("waited", stopMost))
		case <-ctx.Done():
		}
		late.Stop()
	}
}

// settled tells whether nobody seems to be writing a file: it was not touched
// for one interval, or looks as it did one interval ago.
func (s *scanner) settled(name string, f File) bool {
	age := time.Since(f.ModTime)
	if s.first || age >= s.host.cfg.ScanEvery || s.unsettled[name] == f.stamp() {
		delete(s.unsettled, name)
		return true
	}
	s.unsettled[name] = f.stamp()
	return false
}

// take starts a destination whose file is new, or starts it anew when the
// file's content changed.
func (s *scanner) take(name string, f File, k *known) error {
	data, err := f.Read()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	switch {
	case k == nil:
		k = &known{member: s.start(name, "start")}
		s.known[name] = k
	case !k.seen && s.first: // listed, and started a moment ago with this file
	case !k.seen:
		s.host.reload(k.member, "start")
	case k.sum != sum || s.host.waits(k.member):
		s.host.reload(k.member, "reload")
	}
	k.stamp, k.sum, k.seen = f.stamp(), sum, true
	return nil
}

func (h *Host) reload(m *member, notice string) {
	h.mu.Lock()
	m.notice = notice
	h.mu.Unlock()
	m.reload()
}
