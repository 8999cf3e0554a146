package logging_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/canald/canald/internal/logging"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) (*logging.Logs, *bytes.Buffer) {
	t.Helper()
	var console bytes.Buffer
	logs, err := logging.Open(dir, &console, zap.InfoLevel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := logs.Close(); err != nil {
			t.Error(err)
		}
	})
	return logs, &console
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// at writes an entry with a time of its own.
type at struct{ zapcore.Core }

func (a at) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	e.Time = time.Date(2026, 11, 24, 11, 40, 0, 123456789, time.Local)
	return a.Core.Check(e, ce)
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		name string
		log  func(l *zap.Logger)
		want string
	}{
		{"message", func(l *zap.Logger) { l.Info("dump starts") }, "[INFO] canald - dump starts"},
		{"levels and names", func(l *zap.Logger) { l.Named("a").Named("b").Warn("x") }, "[WARN] a.b - x"},
		{"below the level", func(l *zap.Logger) { l.Debug("x") }, ""},
		{"fields in order", func(l *zap.Logger) {
			l.With(zap.Int("z", 1)).Error("x", zap.String("b", "v"), zap.Duration("a", time.Second))
		}, "[ERROR] canald - x z=1 b=v a=1s"},
		{
			"quoted", func(l *zap.Logger) {
				l.Info("x", zap.String("a", `b "c"`), zap.String("e", ""), zap.String("q", "k=v"))
			},
			`[INFO] canald - x a="b \"c\"" e="" q="k=v"`,
		},
		{"error", func(l *zap.Logger) { l.Info("x", zap.Error(errors.New("a\nb"))) }, `[INFO] canald - x error="a\nb"`},
		{"no forged lines", func(l *zap.Logger) {
			l.Named("n\n").Info("a\r\n\x1b[2J\"ok\"", zap.String("k\n", "\u2028"), zap.ByteString("bytes", []byte("a\xffb")))
		}, `[INFO] n\n - a\r\n\x1b[2J"ok" k\n="\u2028" bytes="a\xffb"`},
		{"text of the world", func(l *zap.Logger) { l.Info("x", zap.String("a", "täglich中")) }, "[INFO] canald - x a=täglich中"},
		{"list", func(l *zap.Logger) { l.Info("x", zap.Strings("a", []string{"b", "c"})) }, `[INFO] canald - x a="[b c]"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			logs, console := open(t, dir)
			c.log(logs.Server().WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return at{core} })))
			want := ""
			if c.want != "" {
				want = "2026-11-24 11:40:00.123 " + c.want + "\n"
			}
			if got := strings.ReplaceAll(console.String(), "123456789", ""); got != want && !sameButTime(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if file := read(t, dir, "canal", "canal.log"); file != console.String() {
				t.Errorf("file %q, console %q", file, console)
			}
		})
	}
}

// sameButTime compares behind the time; With makes a core that does not fix it.
func sameButTime(a, b string) bool {
	const n = len("2026-11-24 11:40:00.123")
	if len(a) < n || len(b) < n {
		return false
	}
	_, err := time.Parse("2006-01-02 15:04:05.000", a[:n])
	return err == nil && a[n:] == b[n:]
}

func TestLongLine(t *testing.T) {
	logs, console := open(t, t.TempDir())
	logs.Server().Info("x", zap.String("a", strings.Repeat("y", 1<<20)))
	if n := console.Len(); n > 17<<10 || !strings.HasSuffix(console.String(), "…\n") {
		t.Errorf("%d bytes", n)
	}
}

func TestDestinations(t *testing.T) {
	dir := t.TempDir()
	logs, console := open(t, dir)
	logs.Destination("a").Info("one")
	logs.Destination("b").Named("binlog").Info("two")
	logs.Destination("a").Info("three")
	logs.Destination("canal").Info("four")
	if got := read(t, dir, "a", "a.log"); strings.Count(got, "\n") != 2 || !strings.Contains(got, "a - one") || !strings.Contains(got, "a - three") {
		t.Errorf("a.log: %q", got)
	}
	if got := read(t, dir, "b", "b.log"); !strings.Contains(got, "b.binlog - two") {
		t.Errorf("b.log: %q", got)
	}
	if got := read(t, dir, "canal", "canal.log"); strings.Count(got, "\n") != 1 {
		t.Errorf("canal.log: %q", got)
	}
	if strings.Count(console.String(), "\n") != 4 {
		t.Errorf("console: %q", console)
	}
}

func TestNoDestinationFile(t *testing.T) {
	dir := t.TempDir()
	logs, _ := open(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "d"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	logs.Destination("d").Info("x")
	if got := read(t, dir, "canal", "canal.log"); !strings.Contains(got, "no log file") || !strings.Contains(got, "d - x") {
		t.Errorf("canal.log: %q", got)
	}
}

func TestAppend(t *testing.T) {
	dir := t.TempDir()
	for _, m := range []string{"one", "two"} {
		logs, _ := open(t, dir)
		logs.Server().Info(m)
		if err := logs.Close(); err != nil {
			t.Fatal(err)
		}
		logs.Server().Info("after the end") // reaches the console only
	}
	if got := read(t, dir, "canal", "canal.log"); strings.Count(got, "\n") != 2 {
		t.Errorf("canal.log: %q", got)
	}
}

func TestNoFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := logging.Open(dir, &bytes.Buffer{}, zap.InfoLevel); err == nil {
		t.Error("no error")
	}
}

func TestConcurrentLines(t *testing.T) {
	dir := t.TempDir()
	logs, _ := open(t, dir)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				logs.Destination("d").Info("line", zap.String("a", strings.Repeat("x", 50)))
			}
		})
	}
	wg.Wait()
	got := read(t, dir, "d", "d.log")
	for line := range strings.Lines(got) {
		if !strings.HasSuffix(line, "line a="+strings.Repeat("x", 50)+"\n") {
			t.Fatalf("line %q", line)
		}
	}
	if n := strings.Count(got, "\n"); n != 800 {
		t.Errorf("%d lines", n)
	}
}
