package meta

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/position"
)

var errDisk = errors.New("no space left on device")

func newFile(t *testing.T, dir string) *File {
	t.Helper()
	f, err := NewFile(dir, "d", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func stateAt(offset uint64) State {
	return State{Destination: "d", Clients: []Client{{ID: 1001, Cursor: &position.Cursor{
		Host: "db", Port: 3306, Position: position.Position{File: "mysql-bin.000001", Offset: offset},
	}}}}
}

func save(t *testing.T, f *File, offsets ...uint64) {
	t.Helper()
	for _, o := range offsets {
		if err := f.Save(t.Context(), stateAt(o)); err != nil {
			t.Fatal(err)
		}
	}
}

// offsets are those of the cursors in meta.dat and its generations; 0 means unreadable.
func offsets(t *testing.T, f *File) [3]uint64 {
	t.Helper()
	var out [3]uint64
	for i, name := range append([]string{metaName}, generations...) {
		raw, err := os.ReadFile(filepath.Join(f.dir, name))
		if err != nil {
			continue
		}
		if clients, err := f.parse(raw); err == nil {
			out[i] = clients[0].Cursor.Position.Offset
		}
	}
	return out
}

// While a disk is full each period tries to save; the generations must survive that.
func TestFailedSavesKeepGenerations(t *testing.T) {
	f := newFile(t, t.TempDir())
	save(t, f, 100, 200, 300)
	f.prepare = func(string, string, []byte) (string, error) { return "", errDisk }
	for o := range uint64(5) {
		if err := f.Save(t.Context(), stateAt(400+o)); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
	}
	if got := offsets(t, f); got != [3]uint64{300, 200, 100} {
		t.Errorf("files hold %v", got)
	}
	f.prepare = prepareFile
	save(t, f, 500)
	if got := offsets(t, f); got != [3]uint64{500, 300, 200} {
		t.Errorf("after the disk has room files hold %v", got)
	}
}

// A broken meta.dat must not be gone when the one to take its place cannot be
// written: without it the next start would be a first start.
func TestCrashWhileFallingBack(t *testing.T) {
	dir := t.TempDir()
	f := newFile(t, dir)
	save(t, f, 100, 200)
	path := filepath.Join(dir, "d", metaName)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f = newFile(t, dir)
	f.prepare = func(string, string, []byte) (string, error) { return "", errDisk }
	if _, err := f.Load(t.Context(), "d"); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("meta.dat is gone: %v", err)
	}
	for range 2 { // the second time nothing is left to repair
		state, err := newFile(t, dir).Load(t.Context(), "d")
		if err != nil || len(state.Clients) != 1 || state.Clients[0].Cursor.Position.Offset != 100 {
			t.Fatalf("%+v, %v", state, err)
		}
	}
}

// Some file systems have no hard links.
func TestWithoutHardLinks(t *testing.T) {
	dir := t.TempDir()
	f := newFile(t, dir)
	f.link = func(string, string) error { return errors.New("operation not permitted") }
	save(t, f, 100, 200, 300, 400)
	if got := offsets(t, f); got != [3]uint64{400, 300, 200} {
		t.Errorf("files hold %v", got)
	}
	if err := os.WriteFile(filepath.Join(f.dir, metaName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	state, err := f.Load(t.Context(), "d")
	if err != nil || state.Clients[0].Cursor.Position.Offset != 300 {
		t.Fatalf("%+v, %v", state, err)
	}
	names, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	bad := 0
	for _, n := range names {
		if strings.HasPrefix(n.Name(), metaName+".bad-") {
			bad++
			if raw, err := os.ReadFile(filepath.Join(f.dir, n.Name())); err != nil || string(raw) != "{" {
				t.Errorf("kept %q, %v", raw, err)
			}
		}
	}
	if bad != 1 {
		t.Errorf("%d broken files are kept", bad)
	}
}

// meta.dat as a folder cannot be read and not be replaced; nothing is lost by trying.
func TestFolderInTheFilesPlace(t *testing.T) {
	dir := t.TempDir()
	f := newFile(t, dir)
	save(t, f, 100, 200)
	path := filepath.Join(f.dir, metaName)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := f.Save(t.Context(), stateAt(300)); err == nil {
			t.Fatal("saved over a folder")
		}
	}
	state, err := newFile(t, dir).Load(t.Context(), "d")
	if err != nil || state.Clients[0].Cursor.Position.Offset != 100 {
		t.Fatalf("%+v, %v", state, err)
	}
	save(t, newFile(t, dir), 300)
}

// What a crash left half written goes away with the next start.
func TestLeftoversAreRemoved(t *testing.T) {
	dir := t.TempDir()
	f := newFile(t, dir)
	save(t, f, 100)
	for _, name := range []string{".meta.dat-123", ".start.dat-9", ".probe-1", "meta.dat.1.tmp"} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newFile(t, dir)
	names, err := os.ReadDir(f.dir)
	if err != nil || len(names) != 1 || names[0].Name() != metaName {
		t.Errorf("%v, %v", names, err)
	}
}

// A start that was forgotten, because the source does not have it any more, must
// not come back with the next process.
func TestForgottenStart(t *testing.T) {
	dir := t.TempDir()
	f := newFile(t, dir)
	book := NewBook(stateAt(100))
	book.SetStart(position.Cursor{Host: "db", Position: position.Position{File: "mysql-bin.000001", Offset: 4}})
	if err := book.Flush(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	book.Forget()
	if err := book.Flush(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	state, err := newFile(t, dir).Load(t.Context(), "d")
	if err != nil || state.Start != nil || len(state.Clients) != 1 || state.Clients[0].Cursor != nil {
		t.Errorf("%+v, %v", state, err)
	}
}
