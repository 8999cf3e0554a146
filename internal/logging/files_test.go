package logging_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/logging"
)

// rolled waits until the rolled files beside a log are compressed, and returns
// their texts, the oldest first.
func rolled(t *testing.T, want int, dir, name string) []string {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		done, err := filepath.Glob(filepath.Join(dir, name+"-*.log.gz"))
		if err != nil {
			t.Fatal(err)
		}
		open, _ := filepath.Glob(filepath.Join(dir, name+"-*.log"))
		if len(done) == want && len(open) == 0 {
			var texts []string
			for _, path := range done {
				texts = append(texts, unzip(t, path))
			}
			return texts
		}
		if time.Now().After(end) {
			t.Fatalf("rolled: %v, not compressed: %v", done, open)
		}
	}
}

func unzip(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRollsAtMidnight(t *testing.T) {
	dir := t.TempDir()
	logs, _ := open(t, dir)
	c := morning()
	log := logs.Destination("d").WithOptions(zap.WithClock(c))
	log.Info("today")
	log.Info("today too")
	c.now = c.now.Add(12*time.Hour + 20*time.Minute)
	log.Info("tomorrow")
	log.Info("tomorrow too")
	if got := rolled(t, 1, filepath.Join(dir, "d"), "d"); strings.Count(got[0], "\n") != 2 || !strings.Contains(got[0], "today too") {
		t.Errorf("rolled: %q", got)
	}
	if got := read(t, dir, "d", "d.log"); strings.Count(got, "\n") != 2 || !strings.Contains(got, "2026-11-25 00:00:00.123") {
		t.Errorf("d.log: %q", got)
	}
}

func TestRollsWhatIsOfYesterday(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		folder, text string
		age          time.Duration
		rolled       int
	}{
		{"old", "yesterday\n", 24 * time.Hour, 1},
		{"new", "today\n", 0, 0},
		{"empty", "", 24 * time.Hour, 0},
	} {
		t.Run(c.folder, func(t *testing.T) {
			path := filepath.Join(dir, c.folder, "meta.log")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.text), 0o640); err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			if err := os.Chtimes(path, now, now.Add(-c.age)); err != nil {
				t.Fatal(err)
			}
			logs, _ := open(t, dir)
			log := logs.Meta(c.folder).WithOptions(zap.WithClock(&clock{now}))
			log.Info("line")
			log.Info("line")
			if got := rolled(t, c.rolled, filepath.Dir(path), "meta"); c.rolled > 0 && got[0] != c.text {
				t.Errorf("rolled: %q", got)
			}
			text := read(t, path)
			if kept := strings.Contains(text, c.text) && c.text != ""; kept != (c.rolled == 0 && c.text != "") || strings.Count(text, "line\n") != 2 {
				t.Errorf("meta.log: %q", text)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestRollsBySizeAndDropsTheOld(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, age := range []time.Duration{13, 16} {
		name := "d-" + time.Now().Add(-age*24*time.Hour).Format("2006-01-02T15-04-05.000") + ".log.gz"
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = fmt.Fprintf(z, "%d days\n", age)
		_ = z.Close()
		if err := os.WriteFile(filepath.Join(dir, "d", name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := logging.New(dir, logging.Options{FileMB: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	log := logs.Destination("d")
	const lines = 300
	for n := range lines {
		log.Info("line", zap.Int("n", n), zap.String("a", strings.Repeat("y", 5000)))
	}
	got := rolled(t, 2, filepath.Join(dir, "d"), "d")
	if got[0] != "13 days\n" {
		t.Errorf("what is left of the old: %q", got[0])
	}
	text := got[1] + read(t, dir, "d", "d.log")
	n := 0
	for line := range strings.Lines(text) {
		if !strings.Contains(line, fmt.Sprintf(" - line n=%d a=", n)) || len(line) < 5000 {
			t.Fatalf("line %d: %.100q", n, line)
		}
		n++
	}
	if n != lines || len(got[1]) > 1<<20 {
		t.Errorf("%d lines, %d bytes rolled", n, len(got[1]))
	}
}

func TestFileThatCannotBeWritten(t *testing.T) {
	for _, c := range []struct {
		name          string
		spoil, repair func(dir string) error
		says          string
	}{
		{
			"disk full",
			func(dir string) error {
				return errors.Join(os.Mkdir(filepath.Join(dir, "d"), 0o755), os.Symlink("/dev/full", filepath.Join(dir, "d", "d.log")))
			},
			func(dir string) error { return os.Remove(filepath.Join(dir, "d", "d.log")) },
			"no space left on device",
		},
		{
			"no folder",
			func(dir string) error { return os.WriteFile(filepath.Join(dir, "d"), nil, 0o600) },
			func(dir string) error { return os.Remove(filepath.Join(dir, "d")) },
			"not a directory",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			logs, console := open(t, dir)
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			log := logs.Destination("d")
			for range 3 {
				log.Info("lost")
			}
			got := console.String()
			notice := "log file " + filepath.Join(dir, "d", "d.log") + " cannot be written"
			if strings.Count(got, notice) != 1 || !strings.Contains(got, c.says) {
				t.Errorf("console: %q", got)
			}
			if strings.Count(got, " - lost\n") != 3 {
				t.Errorf("console: %q", got)
			}
			if err := c.repair(dir); err != nil {
				t.Fatal(err)
			}
			logs.Destination("other").Info("works")
			log.Info("again")
			if !strings.HasSuffix(read(t, dir, "d", "d.log"), " - again\n") || !strings.Contains(console.String(), "is written again, 3 lines were lost") {
				t.Errorf("console: %q", console)
			}
		})
	}
}

// The file into which the scripts lead the console never rolls: it gets what
// cannot be said elsewhere, and no copy of the log.
func TestConsoleOfTheScripts(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "canal"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		lines int
	}{{filepath.Join(dir, "canal", "canal_stdout.log"), 0}, {filepath.Join(dir, "elsewhere.log"), 1}} {
		console, err := os.Create(c.path)
		if err != nil {
			t.Fatal(err)
		}
		defer console.Close()
		logs, err := logging.New(dir, logging.Options{Console: console})
		if err != nil {
			t.Fatal(err)
		}
		logs.Server().Info("x")
		if err := logs.Close(); err != nil {
			t.Error(err)
		}
		if got := read(t, c.path); strings.Count(got, "\n") != c.lines {
			t.Errorf("%s: %q", c.path, got)
		}
	}
}

func TestJSON(t *testing.T) {
	dir := t.TempDir()
	var console bytes.Buffer
	logs, err := logging.New(dir, logging.Options{Console: &console, JSON: true, Level: zap.DebugLevel})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	at := zap.WithClock(morning())
	for _, c := range []struct {
		name string
		log  func()
		want map[string]any // without the time
	}{
		{
			"server", func() { logs.Server().WithOptions(at).Debug("a\nb", zap.Strings(logging.Keys, []string{"x", "y"})) },
			map[string]any{"level": "DEBUG", "logger": "canald", "msg": "a\nb", "keys": []any{"x", "y"}},
		},
		{
			"destination", func() {
				logs.Destination("d").WithOptions(at).Named("binlog").With(zap.Int("z", 1), zap.String(logging.Destination, "d")).Error("x", zap.Error(errors.New("cause")), zap.Duration("took", time.Second))
			},
			map[string]any{"level": "ERROR", "logger": "binlog", "msg": "x", "destination": "d", "z": 1.0, "error": "cause", "took": "1s"},
		},
		{"meta", func() { logs.Meta("d").WithOptions(at).Info("x") }, map[string]any{"level": "INFO", "logger": "meta", "msg": "x", "destination": "d"}},
		{
			"too long", func() {
				logs.Server().WithOptions(at).Info(strings.Repeat("\x01", 1<<16), zap.String("a", strings.Repeat("y", 1<<16)))
			},
			map[string]any{"level": "INFO", "logger": "canald", "msg": strings.Repeat("\x01", 2048) + "…", "cut_bytes": 458856.0},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			console.Reset()
			c.log()
			line := console.Bytes()
			if c.name == "meta" {
				line = []byte(read(t, dir, "d", "meta.log"))
			}
			if len(line) > 17<<10 || bytes.Count(line, []byte("\n")) != 1 {
				t.Errorf("%d bytes: %.200q", len(line), line)
			}
			var got map[string]any
			if err := json.Unmarshal(line, &got); err != nil {
				t.Fatalf("%v: %q", err, line)
			}
			if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["time"])); err != nil || !at.Equal(morning().now.Truncate(time.Millisecond)) {
				t.Errorf("time %v, %v", got["time"], err)
			}
			delete(got, "time")
			if c.name == "too long" {
				if n, ok := got["cut_bytes"].(float64); !ok || n < 1<<16 {
					t.Errorf("cut_bytes %v", got["cut_bytes"])
				}
				got["cut_bytes"] = c.want["cut_bytes"]
			}
			if a, b := fmt.Sprint(got), fmt.Sprint(c.want); a != b {
				t.Errorf("got  %.300s\nwant %.300s", a, b)
			}
		})
	}
}
