package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// blocks are the fenced parts of a document that are marked sh.
func blocks(text string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(text, "```sh\n")
		if !ok {
			return out
		}
		block, after, _ := strings.Cut(rest, "```")
		out = append(out, block)
		text = after
	}
}

// home makes an installation as the archive has it, on a source that is there.
func home(t *testing.T, s *harness.Server) string {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{"conf": "conf", "deploy/home/bin": "bin"} {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(filepath.Join(root, from))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(harness.Program(t), filepath.Join(dir, "bin", "canald")); err != nil {
		t.Fatal(err)
	}
	for path, values := range map[string]map[string]string{
		"conf/canal.properties": {"canal.port": fmt.Sprint(harness.FreePort()), "canal.metrics.pull.port": fmt.Sprint(harness.FreePort()), "canal.ip": "127.0.0.1"},
		"conf/example/instance.properties": {
			"canal.instance.master.address": s.Addr, "canal.instance.dbUsername": s.User, "canal.instance.dbPassword": s.Password,
		},
	} {
		path = filepath.Join(dir, path)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range values {
			raw = fmt.Appendf(raw, "\n%s = %s\n", k, v)
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestCommands runs what the documents tell to type, in their order.
func TestCommands(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	for _, document := range []string{"docs/OPERATIONS.md", "README.md", "README.zh-CN.md"} {
		t.Run(filepath.Base(document), func(t *testing.T) {
			dir := home(t, s)
			t.Cleanup(func() { // whatever happened
				_ = exec.CommandContext(context.WithoutCancel(t.Context()), "sh", filepath.Join(dir, "bin", "stop.sh")).Run()
			})
			all := blocks(read(t, document))
			if len(all) == 0 {
				t.Fatal("no commands")
			}
			for _, block := range all {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", "-c", block)
				cmd.Dir = dir
				cmd.WaitDelay = time.Second // the server keeps what the shell had open
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s\n%s", err, block, out)
				}
				if strings.Contains(block, "tail ") && !strings.Contains(string(out), "start CannalInstance for 1-example") {
					t.Errorf("the log does not show the start:\n%s", out)
				}
			}
		})
	}
}
