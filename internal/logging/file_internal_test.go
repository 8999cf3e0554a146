package logging

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFullFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d", "d.log")
	f, err := openFile(path, 10)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 * (keptFiles + 3) {
		if _, err := f.Write([]byte(strings.Repeat(string(rune('a'+n)), 3) + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != keptFiles+1 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	// Two lines fit into a file; the youngest are there, in order.
	want := 3*(keptFiles+3) - 1
	for n, name := range append([]string{path}, f.numbered(1), f.numbered(2)) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, last := string(data), strings.Repeat(string(rune('a'+want-2*n)), 3)+"\n"; !strings.HasSuffix(got, last) || len(got) != 8 {
			t.Errorf("%s: %q, want an end of %q", name, got, last)
		}
	}
}

func TestLineLongerThanFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.log")
	f, err := openFile(path, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	for range 2 {
		if n, err := f.Write([]byte("longer\n")); n != 7 || err != nil {
			t.Fatal(n, err)
		}
	}
	if data, _ := os.ReadFile(path); string(data) != "longer\n" {
		t.Errorf("%q", data)
	}
}
