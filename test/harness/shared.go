package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// shared holds the servers that the tests of one binary have in common.
var shared struct {
	sync.Mutex
	dir     string // empty outside Main
	servers map[Version]*sharedServer
}

type sharedServer struct {
	once   sync.Once
	server *Server
	err    error
}

// Shared returns the one server of that version for the whole test binary, and
// starts it at first use. A test keeps to databases of its own on it and neither
// stops it nor purges its binlog. TestMain must call Main.
func Shared(t testing.TB, v Version) *Server {
	t.Helper()
	shared.Lock()
	dir := shared.dir
	if dir == "" {
		shared.Unlock()
		t.Fatal("harness.Shared needs a TestMain that calls harness.Main")
	}
	s := shared.servers[v]
	if s == nil {
		s = &sharedServer{}
		shared.servers[v] = s
	}
	shared.Unlock()

	s.once.Do(func() {
		// Not the test's context: the server outlives the test.
		s.server, s.err = StartServer(context.Background(), v, filepath.Join(dir, string(v)))
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server
}

// Main runs the tests, stops the shared servers and returns the exit code. It is
// for TestMain: os.Exit(harness.Main(m)).
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "canald-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for the servers:", err)
		return 1
	}
	shared.Lock()
	shared.dir = dir
	shared.servers = make(map[Version]*sharedServer)
	shared.Unlock()

	code := m.Run()

	removeCanald()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

func stopShared() error {
	shared.Lock()
	defer shared.Unlock()
	var errs []error
	for _, s := range shared.servers {
		if s.server != nil {
			errs = append(errs, s.server.Stop())
		}
	}
	errs = append(errs, os.RemoveAll(shared.dir))
	shared.dir = ""
	return errors.Join(errs...)
}
