package meta

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/position"
)

// ErrBroken is wrapped by the error of a meta.dat that exists but cannot be
// read, when no earlier generation can either. It never means a first start.
var ErrBroken = errors.New("meta.dat is broken and no earlier generation is readable; " +
	"put a good copy in its place, or remove it to start without cursors")

// Memory keeps nothing: the wiring of memory-instance.xml.
type Memory struct{}

// Load gives an empty state.
func (Memory) Load(_ context.Context, destination string) (State, error) {
	return State{Destination: destination}, nil
}

// Save does nothing.
func (Memory) Save(context.Context, State) error { return nil }

// File keeps a book in <folder>/<destination>/meta.dat, which a Java server
// reads and writes too, with two earlier generations beside it, and the start
// position in start.dat.
type File struct {
	dir  string
	log  *zap.Logger
	last []byte // what meta.dat holds

	// What disks refuse: prepare is prepareFile, link is os.Link.
	prepare func(dir, name string, raw []byte) (tmp string, err error)
	link    func(from, to string) error
}

// NewFile makes a keeper below the data folder; the destination's own folder is
// made when it is missing.
func NewFile(dataDir, destination string, log *zap.Logger) (*File, error) {
	dir := filepath.Join(dataDir, destination)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return nil, fmt.Errorf("data folder %s can not read/write: %w", dir, err)
	}
	_ = probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return nil, fmt.Errorf("data folder %s can not read/write: %w", dir, err)
	}
	removeLeftovers(dir)
	return &File{dir: dir, log: log, prepare: prepareFile, link: os.Link}, nil
}

// removeLeftovers removes what a crash left half written.
func removeLeftovers(dir string) {
	names, _ := os.ReadDir(dir)
	for _, n := range names {
		for _, prefix := range []string{".probe-", "." + metaName + "-", "." + startName + "-"} {
			if strings.HasPrefix(n.Name(), prefix) {
				_ = os.Remove(filepath.Join(dir, n.Name()))
			}
		}
	}
	for _, g := range generations {
		_ = os.Remove(filepath.Join(dir, g+tmpSuffix))
	}
}

// Names below the folder of a destination. Generations are links to what
// meta.dat was before the last and the last but one write.
const (
	metaName  = "meta.dat"
	startName = "start.dat"
	tmpSuffix = ".tmp"
	// maxFileBytes bounds what is read; a million clients are below it.
	maxFileBytes = 256 << 20
)

var generations = []string{"meta.dat.1", "meta.dat.2"}

type documentJSON struct {
	ClientDatas []clientDataJSON `json:"clientDatas"`
	Destination string           `json:"destination"`
}

type clientDataJSON struct {
	ClientIdentity *identityJSON    `json:"clientIdentity,omitempty"`
	Cursor         *position.Cursor `json:"cursor,omitempty"`
}

type identityJSON struct {
	ClientID    position.Number `json:"clientId"`
	Destination string          `json:"destination"`
	Filter      *string         `json:"filter,omitempty"`
}

// Load reads meta.dat, or the newest generation that is whole when meta.dat is
// empty or broken; the broken file is kept as meta.dat.bad-<time>.
func (f *File) Load(_ context.Context, destination string) (State, error) {
	state := State{Destination: destination}
	start, err := f.loadStart()
	if err != nil {
		return state, err
	}
	state.Start = start
	path := filepath.Join(f.dir, metaName)
	raw, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err == nil {
		var clients []Client
		if clients, err = f.parse(raw); err == nil {
			state.Clients, f.last = clients, raw
			return state, nil
		}
	}
	reason := err
	for _, g := range generations {
		raw, err := readFile(filepath.Join(f.dir, g))
		if err != nil {
			continue
		}
		clients, err := f.parse(raw)
		if err != nil {
			continue
		}
		aside := path + ".bad-" + time.Now().Format("20060102-150405")
		// meta.dat stays until another takes its place: a folder without one
		// would be a first start, should this process end here.
		if err := f.copyFile(path, aside); err != nil {
			if err := os.Rename(path, aside); err != nil {
				return state, fmt.Errorf("keep the broken %s: %w", path, err)
			}
		}
		f.log.Error("meta.dat is broken; going on with an earlier generation",
			zap.String("file", path), zap.String("generation", g), zap.String("kept_as", aside), zap.Error(reason))
		if err := f.write(metaName, raw, nil); err != nil {
			return state, err
		}
		state.Clients, f.last = clients, raw
		return state, nil
	}
	return state, fmt.Errorf("%w: %s: %w", ErrBroken, path, reason)
}

// parse decodes what was read and reports what was passed over.
func (f *File) parse(raw []byte) ([]Client, error) {
	clients, passedOver, err := Decode(raw)
	if passedOver > 0 {
		f.log.Warn("clients without an identity in meta.dat passed over", zap.Int("clients", passedOver))
	}
	return clients, err
}

// Decode reads a document as Canal's reader would; an element without an
// identity is passed over and counted.
func Decode(raw []byte) (clients []Client, passedOver int, err error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, 0, errors.New("the file is empty")
	}
	var doc documentJSON
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, 0, err
	}
	for _, d := range doc.ClientDatas {
		if d.ClientIdentity == nil {
			passedOver++
			continue
		}
		clients = append(clients, Client{ID: ClientID(d.ClientIdentity.ClientID), Filter: d.ClientIdentity.Filter, Cursor: d.Cursor})
	}
	return clients, passedOver, nil
}

// changed is when meta.dat was written last; zero without one.
func (f *File) changed() time.Time {
	info, err := os.Stat(filepath.Join(f.dir, metaName))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (f *File) loadStart() (*position.Cursor, error) {
	raw, err := readFile(filepath.Join(f.dir, startName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var c position.Cursor
	if err := json.Unmarshal(raw, &c); err != nil {
		f.log.Warn("start.dat is broken and not used", zap.Error(err))
		return nil, nil
	}
	return &c, nil
}

// Save writes what changed: temp file, fsync, rename, fsync of the folder. With
// no client meta.dat is left as it is, as Canal leaves it.
func (f *File) Save(_ context.Context, s State) error {
	if err := f.saveStart(s.Start); err != nil {
		return err
	}
	if len(s.Clients) == 0 {
		return nil
	}
	raw, err := Encode(s)
	if err != nil {
		return err
	}
	if bytes.Equal(raw, f.last) {
		return nil
	}
	if err := f.write(metaName, raw, f.keepGenerations); err != nil {
		return err
	}
	f.last = raw
	return nil
}

func (f *File) saveStart(start *position.Cursor) error {
	path := filepath.Join(f.dir, startName)
	if start == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget the start: %w", err)
		}
		return nil
	}
	raw, err := json.Marshal(start)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, raw) {
		return nil
	}
	return f.write(startName, raw, nil)
}

// Encode is a state in the bytes of meta.dat.
func Encode(s State) ([]byte, error) {
	doc := documentJSON{ClientDatas: make([]clientDataJSON, len(s.Clients)), Destination: s.Destination}
	for i, c := range s.Clients {
		doc.ClientDatas[i] = clientDataJSON{
			ClientIdentity: &identityJSON{ClientID: position.Number(c.ID), Destination: s.Destination, Filter: c.Filter},
			Cursor:         c.Cursor,
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(doc); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// keepGenerations puts the files of before under their next name. meta.dat
// itself is never missing.
func (f *File) keepGenerations() error {
	names := append([]string{metaName}, generations...)
	for i := len(names) - 1; i > 0; i-- {
		from, to := filepath.Join(f.dir, names[i-1]), filepath.Join(f.dir, names[i])
		if st, err := os.Stat(from); err != nil || !st.Mode().IsRegular() {
			continue
		}
		tmp := to + tmpSuffix
		_ = os.Remove(tmp)
		if err := f.copyFile(from, tmp); err != nil {
			return fmt.Errorf("keep an earlier generation: %w", err)
		}
		if err := os.Rename(tmp, to); err != nil {
			return fmt.Errorf("keep an earlier generation: %w", err)
		}
		_ = os.Remove(tmp) // rename leaves both names when they are one file already
	}
	return nil
}

// copyFile makes a second name for a file, or a copy where the file system has
// no hard links.
func (f *File) copyFile(from, to string) error {
	if f.link(from, to) == nil {
		return nil
	}
	raw, err := readFile(from)
	if err != nil {
		return err
	}
	tmp, err := f.prepare(f.dir, metaName, raw)
	if err != nil {
		return err
	}
	return os.Rename(tmp, to)
}

func readFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", path, st.Size(), maxFileBytes)
	}
	return os.ReadFile(path)
}

// write replaces a file so that a crash leaves the old or the new content.
// before runs when nothing is left that a full disk could refuse; nil does nothing.
func (f *File) write(name string, raw []byte, before func() error) error {
	path := filepath.Join(f.dir, name)
	tmp, err := f.prepare(f.dir, name, raw)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if before != nil {
		if err := before(); err != nil {
			_ = os.Remove(tmp)
			return err
		}
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// prepareFile makes a file beside the one to replace that is whole on disk.
func prepareFile(dir, name string, raw []byte) (tmp string, err error) {
	file, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if _, err = file.Write(raw); err != nil {
		return "", err
	}
	if err = file.Chmod(0o644); err != nil {
		return "", err
	}
	if err = file.Sync(); err != nil {
		return "", err
	}
	return file.Name(), file.Close()
}
