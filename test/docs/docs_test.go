// Package docs holds the documents against the program: commands run, lines and
// keys exist.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestRunbookHasEveryErrorLine finds the messages of all error lines in the code
// and wants each in the runbook, up to its first variable part.
func TestRunbookHasEveryErrorLine(t *testing.T) {
	runbook := read(t, "docs/OPERATIONS.md")
	found := 0
	for _, dir := range []string{"cmd/canald", "internal/instance", "internal/binlog", "internal/server", "internal/meta", "internal/election", "internal/zkconn"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) == 0 {
					return true
				}
				if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Error" {
					return true
				}
				message := beginning(call.Args[0])
				if message == "" {
					return true
				}
				found++
				if !strings.Contains(runbook, message) {
					t.Errorf("%s: the runbook does not tell of %q", filepath.Base(file), message)
				}
				return true
			})
		}
	}
	if found < 12 {
		t.Errorf("only %d error lines found in the code", found)
	}
}

// beginning is the text that an argument begins with, as far as the runbook
// can hold it.
func beginning(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(e.Value)
		if i := strings.IndexAny(s, ";:"); i > 0 && len(s) > 60 {
			s = s[:i]
		}
		return strings.TrimRight(s, "[ ")
	case *ast.BinaryExpr:
		return beginning(e.X)
	}
	return ""
}
