package server

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestIdleClocks(t *testing.T) {
	const read, write = 10 * time.Second, 30 * time.Second
	for _, c := range []struct {
		name  string
		use   func(i *idle)
		after time.Duration
		why   string
	}{
		{"nothing at all", func(*idle) {}, read, reasonReadIdle},
		{"a request without answer every second", func(i *idle) {
			for range 60 {
				i.received()
				i.served(false)
				time.Sleep(time.Second)
			}
		}, write, reasonWriteIdle},
		{"an answered request, then nothing", func(i *idle) {
			time.Sleep(7 * time.Second)
			i.received()
			i.served(true)
		}, 7*time.Second + read, reasonReadIdle},
		{"a request longer than both", func(i *idle) {
			i.received()
			time.Sleep(95 * time.Second)
			i.served(true)
		}, 95*time.Second + read, reasonReadIdle},
		{"a long request without answer", func(i *idle) {
			i.received()
			time.Sleep(95 * time.Second)
			i.served(false)
		}, 95*time.Second + read, reasonReadIdle},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var why string
				var after time.Duration
				i := newIdle(func(reason string) { why, after = reason, time.Since(begin) })
				i.start(read, write)
				c.use(i)
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				i.stop()
				if why != c.why || after != c.after {
					t.Errorf("%q after %s, want %q after %s", why, after, c.why, c.after)
				}
			})
		})
	}
}

func TestIdleStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIdle(func(reason string) { t.Errorf("closed: %s", reason) })
		i.start(time.Second, time.Second)
		i.stop()
		i.start(time.Second, time.Second)
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}

func TestRefusalsAreFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.DebugLevel)
		r := newRefusals(zap.New(core))
		for i := range 1000 {
			r.add("storm", fmt.Sprint("peer ", i), nil)
		}
		r.add("other", "peer", nil)
		if n := logs.Len(); n != refusalLines+1 {
			t.Errorf("%d lines", n)
		}
		time.Sleep(refusalWindow)
		r.add("storm", "late peer", nil)
		last := logs.All()[logs.Len()-1].ContextMap()
		if last[keySuppressed] != int64(1000-refusalLines) || last[keyRemote] != "late peer" || last[keyReason] != "storm" {
			t.Errorf("line is %v", last)
		}
	})
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"short", 10, "short"},
		{"exact", 5, "exact"},
		{"longer", 4, "long"},
		{"aé", 2, "a"},
		{"aé", 3, "aé"},
		{"😀😀", 7, "😀"},
		{"😀", 0, ""},
		{"bad\xff", 10, "bad?"},
	} {
		if got := cut(c.in, c.limit); got != c.want {
			t.Errorf("cut %q to %d is %q, want %q", c.in, c.limit, got, c.want)
		}
	}
	if got := oneLine("a\r\nb\x00\x7fc", 100); got != "a  b  c" {
		t.Errorf("one line is %q", got)
	}
}
