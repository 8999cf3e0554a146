package meta_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Documents that a Java server wrote.
const (
	oneClient  = `{"clientDatas":[{"clientIdentity":{"clientId":1001,"destination":"example","filter":""},"cursor":{"identity":{"slaveId":-1,"sourceAddress":{"address":"localhost","port":33197}},"postion":{"gtid":"","included":false,"journalName":"mysql-bin.000001","position":1628,"serverId":5,"timestamp":1795424361000}}}],"destination":"example"}`
	twoClients = `{"clientDatas":[{"clientIdentity":{"clientId":7,"destination":"d","filter":""}},{"clientIdentity":{"clientId":1001,"destination":"d","filter":"b\\..*"}}],"destination":"d"}`
	gtidCursor = `{"clientDatas":[{"clientIdentity":{"clientId":1001,"destination":"d"},"cursor":{"identity":{"slaveId":-1,"sourceAddress":{"address":"localhost","port":33197}},"postion":{"gtid":"08b4f78b-e71c-11f1-a7f3-02fc00000001:1-4","included":false,"journalName":"mysql-bin.000005","position":1045,"serverId":5,"timestamp":1795424769000}}}],"destination":"d"}`
)

func keeper(t *testing.T, dir, destination string) *meta.File {
	t.Helper()
	f, err := meta.NewFile(dir, destination, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestJavaDocumentsComeBackByteForByte(t *testing.T) {
	for name, doc := range map[string]string{"one client": oneClient, "without cursors": twoClients, "GTID": gtidCursor} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			destination := "d"
			if strings.Contains(doc, `"example"`) {
				destination = "example"
			}
			write(t, filepath.Join(dir, destination, "meta.dat"), doc)
			state, err := keeper(t, dir, destination).Load(t.Context(), destination)
			if err != nil {
				t.Fatal(err)
			}
			got, err := meta.Encode(state)
			if err != nil || string(got) != doc {
				t.Errorf("got\n%s\nwant\n%s\n%v", got, doc, err)
			}
		})
	}
}

func TestBrokenFiles(t *testing.T) {
	for _, c := range []struct {
		name, text string
		clients    int
		broken     bool
	}{
		{"empty", "", 0, true},
		{"blank", " \n", 0, true},
		{"truncated", oneClient[:100], 0, true},
		{"zeros", "\x00\x00\x00\x00", 0, true},
		{"garbage", "not a document", 0, true},
		{"identity missing", `{"clientDatas":[{"cursor":null},{"clientIdentity":{"clientId":7,"destination":"d"}}],"destination":"d"}`, 1, false},
		{"numbers in quotes, unknown keys, any order", `{"x":1,"destination":"d","clientDatas":[{"cursor":{"postion":{"position":"12","timestamp":"2024-01-01 00:00:00","journalName":"b.1","@type":"x"},"identity":{"sourceAddress":{"address":null,"port":"3306"}}},"clientIdentity":{"clientId":"7"}}]}`, 1, false},
		{"host that does not resolve", strings.ReplaceAll(oneClient, "localhost", "no.such.host.invalid"), 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "d", "meta.dat")
			write(t, path, c.text)
			state, err := keeper(t, dir, "d").Load(t.Context(), "d")
			if errors.Is(err, meta.ErrBroken) != c.broken || !c.broken && err != nil {
				t.Fatalf("error %v", err)
			}
			if len(state.Clients) != c.clients {
				t.Errorf("%d clients", len(state.Clients))
			}
			if now, _ := os.ReadFile(path); c.broken && string(now) != c.text {
				t.Error("the broken file was changed")
			}
		})
	}
}

func TestMissingFileIsAFirstStart(t *testing.T) {
	state, err := keeper(t, t.TempDir(), "d").Load(t.Context(), "d")
	if err != nil || len(state.Clients) != 0 || state.Start != nil {
		t.Errorf("%+v, %v", state, err)
	}
}

func cursor(offset uint64) position.Cursor {
	return position.Cursor{Host: "db", Port: 3306, Position: position.Position{File: "mysql-bin.000003", Offset: offset, ServerID: 1, Timestamp: 1700000000000}}
}

// A file that a crash left empty falls back to what was saved before, and is kept aside.
func TestEarlierGeneration(t *testing.T) {
	dir := t.TempDir()
	f := keeper(t, dir, "d")
	book := meta.NewBook(meta.State{Destination: "d"})
	book.Subscribe(1001, "")
	for offset := uint64(100); offset <= 400; offset += 100 {
		book.SetCursor(1001, cursor(offset))
		if err := book.Flush(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "d", "meta.dat")
	for name, want := range map[string]string{"meta.dat": `"position":400`, "meta.dat.1": `"position":300`, "meta.dat.2": `"position":200`} {
		raw, err := os.ReadFile(filepath.Join(dir, "d", name))
		if err != nil || !bytes.Contains(raw, []byte(want)) {
			t.Fatalf("%s holds %s, %v", name, raw, err)
		}
	}
	write(t, path, "")
	write(t, path+".1", "{")
	state, err := keeper(t, dir, "d").Load(t.Context(), "d")
	if err != nil || len(state.Clients) != 1 || state.Clients[0].Cursor.Position.Offset != 200 {
		t.Fatalf("%+v, %v", state, err)
	}
	kept, _ := filepath.Glob(path + ".bad-*")
	if len(kept) != 1 {
		t.Errorf("the broken file is kept as %v", kept)
	}
	if raw, _ := os.ReadFile(path); !bytes.Contains(raw, []byte(`"position":200`)) {
		t.Errorf("meta.dat holds %s", raw)
	}
}

func TestNoClientLeavesTheFileAlone(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "d", "meta.dat"), twoClients)
	f := keeper(t, dir, "d")
	state, err := f.Load(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	book := meta.NewBook(state)
	book.Unsubscribe(7)
	book.Unsubscribe(1001)
	if err := book.Flush(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if raw, _ := os.ReadFile(filepath.Join(dir, "d", "meta.dat")); string(raw) != twoClients {
		t.Errorf("file is %s", raw)
	}
}

func TestStartIsKept(t *testing.T) {
	dir := t.TempDir()
	book := meta.NewBook(meta.State{Destination: "d"})
	book.SetStart(cursor(77))
	if err := book.Flush(t.Context(), keeper(t, dir, "d")); err != nil {
		t.Fatal(err)
	}
	state, err := keeper(t, dir, "d").Load(t.Context(), "d")
	if err != nil || state.Start == nil || *state.Start != cursor(77) {
		t.Errorf("%+v, %v", state.Start, err)
	}
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "d"), "a file where the folder should be")
	if _, err := meta.NewFile(dir, "d", zap.NewNop()); err == nil {
		t.Error("no error")
	}
}

// A save that fails stays due and is tried again.
func TestFailedSaveIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &flaky{fail: 3}
		book := meta.NewBook(meta.State{Destination: "d"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- book.Run(ctx, k, time.Second, zap.NewNop()) }()
		book.Subscribe(1, "")
		book.SetCursor(1, cursor(5))
		time.Sleep(10 * time.Second)
		saves, saved := k.seen()
		if saved == nil || saved.Clients[0].Cursor.Position.Offset != 5 {
			t.Fatalf("saved is %+v", saved)
		}
		time.Sleep(10 * time.Second)
		if calls, _ := k.seen(); calls != saves {
			t.Error("saved again though nothing changed")
		}
		book.SetCursor(1, cursor(6))
		cancel()
		if err := <-done; err != nil || k.saved.Clients[0].Cursor.Position.Offset != 6 {
			t.Errorf("last flush: %v, %+v", err, k.saved)
		}
	})
}

type flaky struct {
	sync.Mutex
	fail, calls int
	saved       *meta.State
}

func (f *flaky) seen() (calls int, saved *meta.State) {
	f.Lock()
	defer f.Unlock()
	return f.calls, f.saved
}

func (*flaky) Load(context.Context, string) (meta.State, error) { return meta.State{}, nil }

func (f *flaky) Save(_ context.Context, s meta.State) error {
	f.Lock()
	defer f.Unlock()
	f.calls++
	if f.calls <= f.fail {
		return errors.New("no space left on device")
	}
	f.saved = &s
	return nil
}

func TestBook(t *testing.T) {
	b := meta.NewBook(meta.State{Destination: "d"})
	b.Subscribe(1, "a")
	b.Subscribe(2, "")
	b.SetCursor(1, cursor(100))
	b.SetCursor(2, cursor(50))
	b.SetCursor(3, cursor(1)) // not subscribed
	if low := b.Smallest(); low == nil || low.Position.Offset != 50 {
		t.Errorf("smallest is %+v", low)
	}
	b.Subscribe(1, "b") // moves to the end, keeps its cursor
	c := b.Clients()
	if len(c) != 2 || c[0].ID != 2 || c[1].ID != 1 || *c[1].Filter != "b" || c[1].Cursor.Position.Offset != 100 {
		t.Errorf("clients are %+v", c)
	}
	b.Unsubscribe(2)
	b.Subscribe(2, "") // in the same run it goes on from its cursor
	if c, ok := b.Client(2); !ok || c.Cursor == nil || c.Cursor.Position.Offset != 50 {
		t.Errorf("client is %+v", c)
	}
	b.Forget()
	if b.Smallest() != nil || b.Start() != nil {
		t.Error("cursors are left")
	}
}

func FuzzMetaDat(f *testing.F) {
	for _, s := range []string{oneClient, twoClients, gtidCursor, "", "{", `{"clientDatas":[null]}`, `{"clientDatas":[{"clientIdentity":{"clientId":1e99}}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "d"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "d", "meta.dat"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := meta.NewFile(dir, "d", zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		state, err := file.Load(t.Context(), "d")
		if err != nil {
			return
		}
		first, err := meta.Encode(state)
		if err != nil {
			t.Fatal(err)
		}
		if len(state.Clients) == 0 {
			return
		}
		if err := file.Save(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		again, err := file.Load(t.Context(), "d")
		if err != nil {
			t.Fatalf("what was saved cannot be read: %v", err)
		}
		if second, err := meta.Encode(again); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s became %s, %v", first, second, err)
		}
	})
}
