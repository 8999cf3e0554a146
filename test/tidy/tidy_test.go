// Package tidy checks what a linter cannot say about the tree as a whole.
package tidy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module    = "github.com/canald/canald"
	mostLines = 800
)

// mayImport is the direction of imports: for each of our packages, all of ours
// that it may know. A new package needs a row here.
var mayImport = map[string][]string{
	"internal/position": nil,
	"internal/filter":   nil,
	"internal/packet":   nil,
	"internal/render":   nil,
	"internal/logging":  nil,
	"internal/sdnotify": nil,
	"internal/zkconn":   nil,

	"internal/event":  {"internal/position"},
	"internal/schema": {"internal/position"},
	"internal/meta":   {"internal/position", "internal/zkconn"},

	"internal/election": {"internal/zkconn"},

	"internal/ddl":   {"internal/position", "internal/schema"},
	"internal/entry": {"internal/event", "internal/position", "internal/render", "internal/schema"},

	"internal/store":   {"internal/entry", "internal/meta", "internal/position"},
	"internal/history": {"internal/position", "internal/schema"},
	"internal/tsdb":    {"internal/ddl", "internal/position", "internal/schema"},
	"internal/binlog": {
		"internal/ddl", "internal/entry", "internal/event", "internal/history", "internal/position", "internal/render", "internal/schema", "internal/tsdb",
	},

	"internal/instance": {
		"internal/binlog", "internal/entry", "internal/event", "internal/filter", "internal/history", "internal/meta", "internal/position",
		"internal/render", "internal/schema", "internal/store",
	},
	// The server knows the store's batch and not the instance.
	"internal/server": {"internal/meta", "internal/packet", "internal/store"},
	// It runs an instance of its own, and reads its entries as a client does.
	"internal/tail": {
		"client", "client/canalpb", "internal/binlog", "internal/instance", "internal/meta", "internal/packet", "internal/store",
	},
	// It looks on: at instances and at what the server tells its observer.
	"internal/metrics": {"internal/instance", "internal/meta", "internal/server"},
	// Settings are checked with the parsers of those who use them.
	"internal/config": {"internal/filter", "internal/history", "internal/position", "internal/render", "internal/zkconn"},
	// It asks the source and the files the questions that the server will ask.
	"internal/check": {
		"internal/binlog", "internal/config", "internal/filter", "internal/meta", "internal/position", "internal/tsdb", "internal/zkconn",
	},

	"client/canalpb": nil,
	"client":         {"client/canalpb", "internal/packet", "internal/zkconn"},
}

// core knows no socket and no file.
var core = []string{
	"internal/position", "internal/filter", "internal/packet", "internal/render",
	"internal/event", "internal/schema", "internal/ddl", "internal/entry", "internal/store",
}

// nounless are names of packages that say nothing about what is inside.
var nounless = []string{"util", "utils", "common", "base", "helper", "helpers", "types", "misc", "shared", "lib"}

type goPackage struct {
	ImportPath string
	Name       string
	Imports    []string
}

// packages lists all packages of the module.
func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Imports", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var list []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < len(mayImport) {
		t.Fatalf("go list shows %d packages, the table of imports has %d", len(list), len(mayImport))
	}
	return list
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		program := p.Name == "main" || strings.HasPrefix(name, "test/")
		allowed, known := mayImport[name]
		if !known && !program {
			t.Errorf("%s has no row in the table of imports", name)
			continue
		}
		for _, i := range p.Imports {
			ours, isOurs := strings.CutPrefix(i, module+"/")
			switch {
			case isOurs && !program && !slices.Contains(allowed, ours):
				t.Errorf("%s imports %s, which lies to its right or beside it", name, ours)
			case isOurs && !strings.HasPrefix(name, "test/") && strings.HasPrefix(ours, "test/"):
				t.Errorf("%s imports %s: tests are no part of the program", name, ours)
			case slices.Contains(core, name) && doesIO(i):
				t.Errorf("%s imports %s: the core does no I/O", name, i)
			}
		}
	}
}

// doesIO tells whether a package of the standard library reaches files or
// sockets. net/netip is pure arithmetic.
func doesIO(i string) bool {
	first, _, _ := strings.Cut(i, "/")
	return slices.Contains([]string{"net", "os", "syscall"}, first) && i != "net/netip"
}

func TestNames(t *testing.T) {
	for _, p := range packages(t) {
		if base := path.Base(p.ImportPath); slices.Contains(nounless, p.Name) || slices.Contains(nounless, base) {
			t.Errorf("%s: a package needs a noun of its own", p.ImportPath)
		}
	}
}

// root is the top of the tree, as seen from this folder.
var root = filepath.Join("..", "..")

// eachFile gives the text of every file whose name ends in one of the suffixes.
func eachFile(t *testing.T, f func(name string, text []byte), suffixes ...string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "dist", "logs", "testdata"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains(suffixes, filepath.Ext(name)) {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		files++
		f(filepath.ToSlash(name), text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatalf("no file %v in the tree", suffixes)
	}
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestFileSize(t *testing.T) {
	eachFile(t, func(name string, text []byte) {
		if n := bytes.Count(text, []byte("\n")); n > mostLines && !generated.Match(text) {
			t.Errorf("%s has %d lines: it hides a second noun", name, n)
		}
	}, ".go", ".sh", ".py", ".java")
}

// A server that is missing must fail a test, never skip it.
func TestNoSkips(t *testing.T) {
	skip := regexp.MustCompile(`\b(t|b|f|tb)\.(Skip|Skipf|SkipNow)\(`)
	eachFile(t, func(name string, text []byte) {
		if at := skip.FindIndex(text); at != nil {
			t.Errorf("%s:%d skips", name, 1+bytes.Count(text[:at[0]], []byte("\n")))
		}
	}, ".go")
}

func TestDocumentLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	eachFile(t, func(name string, text []byte) {
		for _, m := range link.FindAllSubmatch(text, -1) {
			target := string(m[1])
			if strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, target)
			}
		}
	}, ".md")
}

// What documents call make for must exist, and every target must have its help.
func TestMakeTargets(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	rule := regexp.MustCompile(`^([a-z][a-z-]*):([^=].*)?$`)
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		m := rule.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		targets[m[1]] = true
		if !strings.Contains(m[2], "## ") {
			t.Errorf("Makefile: %s has no help", m[1])
		}
	}
	called := regexp.MustCompile("(?m)(?:^|`)make ([a-z][a-z-]*)")
	eachFile(t, func(name string, text []byte) {
		for _, m := range called.FindAllSubmatch(text, -1) {
			if !targets[string(m[1])] {
				t.Errorf("%s calls make %s, which is not there", name, m[1])
			}
		}
	}, ".md")
}
