package logging_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/logging"
)

// texts are the lines without their times.
func texts(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		list = append(list, strings.TrimSuffix(line[len("2026-11-24 11:40:00.123 "):], "\n"))
	}
	return list
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
}

func times(n int, line string) []string {
	return strings.Split(strings.Repeat(line+"\n", n-1)+line, "\n")
}

func TestEqualErrorsAreFolded(t *testing.T) {
	cause := zap.Error(errors.New("connection refused"))
	const lost = `[d] WARN  binlog - source lost error="connection refused" n=1`
	for _, c := range []struct {
		name string
		log  func(l *zap.Logger, pass func(time.Duration))
		want []string
	}{
		{"few are all written", func(l *zap.Logger, _ func(time.Duration)) {
			for range 5 {
				l.Warn("source lost", cause, zap.Int("n", 1))
			}
		}, times(5, lost)},
		{"more are counted, and reported at the end", func(l *zap.Logger, pass func(time.Duration)) {
			for range 25 {
				l.Warn("source lost", cause, zap.Int("n", 1))
				pass(100 * time.Millisecond)
			}
		}, append(times(5, lost), `[d] WARN  binlog - source lost: repeated 20 times in 2.4s error="connection refused"`)},
		{"a window that is over is reported, and a new one begins", func(l *zap.Logger, pass func(time.Duration)) {
			for range 7 {
				l.Warn("source lost", cause, zap.Int("n", 1))
			}
			pass(10 * time.Second)
			l.Warn("source lost", cause, zap.Int("n", 1))
		}, append(times(5, lost), `[d] WARN  binlog - source lost: repeated 2 times in 0s error="connection refused"`, lost)},
		{"seldom ones are no storm", func(l *zap.Logger, pass func(time.Duration)) {
			for range 20 {
				l.Warn("source lost", cause, zap.Int("n", 1))
				pass(2 * time.Second)
			}
		}, times(20, lost)},
		{"other causes, levels, loggers and messages are others", func(l *zap.Logger, _ func(time.Duration)) {
			for range 4 {
				l.Warn("a", cause)
				l.Warn("a")
				l.Error("a", cause)
				l.Named("x").Warn("a", cause)
				l.Warn("b", cause)
			}
		}, times4(`[d] WARN  binlog - a error="connection refused"`, `[d] WARN  binlog - a`, `[d] ERROR binlog - a error="connection refused"`,
			`[d] WARN  binlog.x - a error="connection refused"`, `[d] WARN  binlog - b error="connection refused"`)},
		{"life events are no errors", func(l *zap.Logger, _ func(time.Duration)) {
			for range 10 {
				l.Info("client comes")
			}
		}, times(10, `[d] INFO  binlog - client comes`)},
		{"a storm of different errors is not held in memory", func(l *zap.Logger, _ func(time.Duration)) {
			for n := range 1000 {
				l.Error(fmt.Sprint("e", n))
			}
		}, numbered(1000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			logs, console := open(t, dir)
			now := today()
			log := logs.Destination("d").Named("binlog").WithOptions(zap.WithClock(now))
			c.log(log, func(d time.Duration) { now.now = now.now.Add(d) })
			if err := logs.Close(); err != nil {
				t.Fatal(err)
			}
			same(t, texts(console.String()), c.want)
			same(t, texts(read(t, dir, "d", "d.log")), c.want)
		})
	}
}

func times4(lines ...string) []string {
	var list []string
	for range 4 {
		list = append(list, lines...)
	}
	return list
}

func numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("[d] ERROR binlog - e%d", i)
	}
	return list
}

// A storm that ends is reported when its window is over, without a later line.
func TestFoldIsReportedInTime(t *testing.T) {
	dir := t.TempDir()
	logs, _ := open(t, dir)
	logs.Server().Info("the file is open, and its goroutine outside of the bubble")
	synctest.Test(t, func(t *testing.T) {
		for range 8 {
			logs.Server().Error("x")
			time.Sleep(time.Second)
		}
		if got := read(t, dir, "canal", "canal.log"); strings.Contains(got, "repeated") {
			t.Errorf("too early: %q", got)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		want := append(times(5, "[canald] ERROR canald - x"), "[canald] ERROR canald - x: repeated 3 times in 7s")
		same(t, texts(read(t, dir, "canal", "canal.log")), want) // the first line rolled away: another year
		for range 8 {
			logs.Server().Error("y")
		}
		if err := logs.Close(); err != nil { // no timer is left
			t.Error(err)
		}
		if got := read(t, dir, "canal", "canal.log"); !strings.HasSuffix(got, "y: repeated 3 times in 0s\n") {
			t.Errorf("canal.log: %q", got)
		}
	})
}

func TestFoldInJSON(t *testing.T) {
	dir := t.TempDir()
	logs, err := logging.New(dir, logging.Options{JSON: true})
	if err != nil {
		t.Fatal(err)
	}
	log := logs.Destination("d").WithOptions(zap.WithClock(today()))
	for range 6 {
		log.Error("x", zap.Error(errors.New("y")))
	}
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	got := read(t, dir, "d", "d.log")
	if want := `"logger":"instance","msg":"x: repeated 1 times in 0s","destination":"d","error":"y"}` + "\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q", got)
	}
}
