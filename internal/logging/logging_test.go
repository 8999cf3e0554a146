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

	"github.com/canald/canald/internal/logging"
)

// The library that rolls files keeps its goroutine when a file is closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

func open(t *testing.T, dir string) (*logging.Logs, *bytes.Buffer) {
	t.Helper()
	var console bytes.Buffer
	logs, err := logging.New(dir, logging.Options{Console: &console})
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

// clock stands still, at a moment that a test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time                       { return c.now }
func (c *clock) NewTicker(time.Duration) *time.Ticker { panic("no ticker is needed") }

// morning is when these tests take place. Canal's pattern has local time.
func morning() *clock { return &clock{time.Date(2026, 11, 24, 11, 40, 0, 123456789, time.Local)} }

// today is for logs whose end, which has no clock but the host's, is looked at: it
// would be of another day.
func today() *clock { return &clock{time.Now()} }

func TestLine(t *testing.T) {
	for _, c := range []struct {
		name string
		log  func(l *zap.Logger)
		want string
	}{
		{"message", func(l *zap.Logger) { l.Info("dump starts") }, "[canald] INFO  canald - dump starts"},
		{"levels and names", func(l *zap.Logger) { l.Named("a").Named("b").Warn("x") }, "[canald] WARN  a.b - x"},
		{"below the level", func(l *zap.Logger) { l.Debug("x") }, ""},
		{"fields in order", func(l *zap.Logger) {
			l.With(zap.Int("z", 1)).Error("x", zap.String("b", "v"), zap.Duration("a", time.Second))
		}, "[canald] ERROR canald - x z=1 b=v a=1s"},
		{
			"quoted", func(l *zap.Logger) {
				l.Info("x", zap.String("a", `b "c"`), zap.String("e", ""), zap.String("q", "k=v"))
			},
			`[canald] INFO  canald - x a="b \"c\"" e="" q="k=v"`,
		},
		{"error", func(l *zap.Logger) { l.Info("x", zap.Error(errors.New("a\nb"))) }, `[canald] INFO  canald - x error="a\nb"`},
		{"no forged lines", func(l *zap.Logger) {
			l.Named("n\n").Info("a\r\n\x1b[2J\"ok\"", zap.String("k\n", "\u2028"), zap.ByteString("bytes", []byte("a\xffb")))
		}, `[canald] INFO  n\n - a\r\n\x1b[2J"ok" k\n="\u2028" bytes="a\xffb"`},
		{"text of the world", func(l *zap.Logger) { l.Info("x", zap.String("a", "täglich中")) }, "[canald] INFO  canald - x a=täglich中"},
		{"list", func(l *zap.Logger) { l.Info("x", zap.Strings("a", []string{"b", "c"})) }, `[canald] INFO  canald - x a="[b c]"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			logs, console := open(t, dir)
			c.log(logs.Server().WithOptions(zap.WithClock(morning())))
			want := ""
			if c.want != "" {
				want = "2026-11-24 11:40:00.123 " + c.want + "\n"
			}
			if got := console.String(); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if file := read(t, dir, "canal", "canal.log"); file != console.String() {
				t.Errorf("file %q, console %q", file, console)
			}
		})
	}
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
	logs.Destination("silent").Debug("five")
	if got := read(t, dir, "a", "a.log"); strings.Count(got, "\n") != 2 || !strings.Contains(got, " [a] INFO  instance - one\n") || !strings.Contains(got, " - three\n") {
		t.Errorf("a.log: %q", got)
	}
	if got := read(t, dir, "b", "b.log"); !strings.Contains(got, " [b] INFO  binlog - two\n") {
		t.Errorf("b.log: %q", got)
	}
	if got := read(t, dir, "canal", "canal.log"); strings.Count(got, "\n") != 1 {
		t.Errorf("canal.log: %q", got)
	}
	if strings.Count(console.String(), "\n") != 4 {
		t.Errorf("console: %q", console)
	}
	if _, err := os.Stat(filepath.Join(dir, "silent")); err == nil {
		t.Error("a folder without a line")
	}
}

func TestMeta(t *testing.T) {
	dir := t.TempDir()
	var console bytes.Buffer
	logs, err := logging.New(dir, logging.Options{Console: &console, Level: zap.ErrorLevel})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	log := logs.Meta("d").WithOptions(zap.WithClock(morning()))
	for range 20 {
		log.Warn("clientId:1001 cursor:[mysql-bin.000001,4,0,1,]", zap.String(logging.Addr, "db:3306"))
	}
	log.Debug("no")
	want := strings.Repeat("2026-11-24 11:40:00.123 - clientId:1001 cursor:[mysql-bin.000001,4,0,1,] addr=db:3306\n", 20)
	if got := read(t, dir, "d", "meta.log"); got != want {
		t.Errorf("meta.log: %q", got)
	}
	if console.Len() > 0 {
		t.Errorf("console: %q", &console)
	}
}

func TestAppend(t *testing.T) {
	dir := t.TempDir()
	for _, m := range []string{"one", "two"} {
		logs, console := open(t, dir)
		logs.Server().Info(m)
		if err := logs.Close(); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			logs.Server().Error("after the end")
		}
		logs.Destination("late").Error("after the end") // the console only
		if n := strings.Count(console.String(), "\n"); n != 12 {
			t.Errorf("%d lines on the console: %q", n, console)
		}
	}
	if got := read(t, dir, "canal", "canal.log"); strings.Count(got, "\n") != 2 {
		t.Errorf("canal.log: %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "late")); err == nil {
		t.Error("a file made after the end")
	}
}

func TestNoFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := logging.New(dir, logging.Options{Console: &bytes.Buffer{}}); err == nil {
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
				logs.Destination("d").Error("line", zap.String("a", strings.Repeat("x", 50)))
			}
		})
	}
	wg.Wait()
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	got := read(t, dir, "d", "d.log")
	plain := 0
	for line := range strings.Lines(got) {
		switch {
		case strings.HasSuffix(line, "line a="+strings.Repeat("x", 50)+"\n"):
			plain++
		case !strings.Contains(line, "line: repeated "):
			t.Fatalf("line %q", line)
		}
	}
	if plain < 800 || plain > 850 {
		t.Errorf("%d lines", plain)
	}
}
