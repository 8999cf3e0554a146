package instance_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/canald/canald/internal/instance"
)

// folder is a set of configuration files that a test changes under a host whose
// instances never start: what is asked of them is what is tested.
type folder struct {
	mu     sync.Mutex
	files  map[string]instance.File
	broken error
	opened map[string]int
}

func (f *folder) put(name, text string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[name] = instance.File{ModTime: at, Size: int64(len(text)), Read: func() ([]byte, error) { return []byte(text), nil }}
}

func (f *folder) remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.files, name)
}

func (f *folder) scan() (map[string]instance.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.files), f.broken
}

func (f *folder) open(name string) (*instance.Instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened[name]++
	if _, ok := f.files[name]; !ok {
		return nil, fmt.Errorf("it has no instance.properties yet: %w", fs.ErrNotExist)
	}
	return nil, errors.New("not today")
}

func (f *folder) take() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.opened
	f.opened = map[string]int{}
	return o
}

const every = 5 * time.Second

// TestScan walks through the life of a folder in a bubble of time. Failed
// destinations are tried again by themselves, so only whether one was opened is
// looked at in the moment after a change.
func TestScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &folder{files: map[string]instance.File{}, opened: map[string]int{}}
		core, logged := observer.New(zap.InfoLevel)
		h := instance.NewHost(instance.HostConfig{Destinations: []string{"listed"}, Open: f.open, Scan: f.scan, ScanEvery: every}, zap.New(core))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		old := time.Now().Add(-time.Hour)
		f.put("there", "a=1", time.Now())
		go func() { done <- h.Run(ctx) }()
		states := func() string {
			var b strings.Builder
			for _, d := range h.Destinations() {
				fmt.Fprintf(&b, "%s:%s ", d.Destination, d.State)
			}
			return strings.TrimSpace(b.String())
		}
		want := func(step, text string) {
			t.Helper()
			synctest.Wait()
			if got := states(); got != text {
				t.Errorf("%s: %q, want %q", step, got, text)
			}
		}
		want("at the start", "listed:waiting there:failed")
		if o := f.take(); o["listed"] != 1 || o["there"] != 1 {
			t.Errorf("opened %v", o)
		}

		// Half saved: it is touched again and again, and taken once it rests.
		time.Sleep(time.Second)
		for n := range 3 {
			f.put("new", strings.Repeat("x", n+1), time.Now())
			time.Sleep(every)
			want("while it is written", "listed:waiting there:failed")
		}
		time.Sleep(every)
		want("when it rests", "listed:waiting new:failed there:failed")

		// A file from a backup rests already.
		f.put("listed", "a=1", old)
		f.take()
		time.Sleep(every)
		want("the missing file comes", "listed:failed new:failed there:failed")

		// The wait of a failed one has grown to half a minute at most by now: what
		// is opened within one interval after a change is opened for the change.
		time.Sleep(5 * time.Minute)
		quiet := func(change func()) int {
			for range 20 { // wait for an interval in which nothing is tried anyway
				f.take()
				time.Sleep(every)
				if f.take()["there"] == 0 {
					break
				}
			}
			change()
			time.Sleep(every + time.Millisecond)
			return f.take()["there"]
		}
		if n := quiet(func() { f.put("there", "a=2", old) }); n == 0 {
			t.Error("a change was not taken")
		}
		// Touched at each interval without a change: only the usual attempts are
		// made, two or three a minute at most.
		f.take()
		for n := range 100 {
			f.put("there", "a=2", old.Add(time.Duration(n+1)*time.Second))
			time.Sleep(every)
		}
		if n := f.take()["there"]; n > 50 {
			t.Errorf("%d starts for 100 touches", n)
		}

		// A broken scan and a file that cannot be looked at change nothing.
		f.mu.Lock()
		f.broken = errors.New("no such disk")
		f.mu.Unlock()
		time.Sleep(2 * every)
		want("scan fails", "listed:failed new:failed there:failed")
		if logged.FilterMessage("scan failed").Len() == 0 {
			t.Error("the failed scan was not reported")
		}
		f.mu.Lock()
		f.broken = nil
		f.files["new"] = instance.File{Err: errors.New("permission denied")}
		f.mu.Unlock()
		time.Sleep(2 * every)
		want("file not readable", "listed:failed new:failed there:failed")

		// An editor's replacement is no removal.
		f.remove("there")
		time.Sleep(every)
		f.put("there", "a=2", old)
		time.Sleep(every + time.Millisecond)
		want("replaced", "listed:failed new:failed there:failed")
		f.remove("there")
		f.remove("listed")
		time.Sleep(2*every + time.Second)
		want("removed", "new:failed")
		if logged.FilterMessage("auto notify stop there successful.").Len() != 1 {
			t.Error("the stop was not reported once")
		}
		f.put("there", "a=2", old)
		time.Sleep(every)
		want("back again", "new:failed there:failed")

		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want("at the end", "")
	})
}

// TestHostWithoutScan retries by itself what has no file yet.
func TestHostWithoutScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &folder{files: map[string]instance.File{}, opened: map[string]int{}}
		h := instance.NewHost(instance.HostConfig{Destinations: []string{"a"}, Open: f.open}, zap.NewNop())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		time.Sleep(5 * time.Minute)
		if n := f.take()["a"]; n < 10 || n > 30 {
			t.Errorf("opened %d times in five minutes", n)
		}
		cancel()
		<-done
	})
}

// TestHostOutlivesPanic keeps one destination's defect from the others.
func TestHostOutlivesPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := func(name string) (*instance.Instance, error) {
			if name == "bad" {
				panic("broken")
			}
			return nil, errors.New("not today")
		}
		h := instance.NewHost(instance.HostConfig{Destinations: []string{"bad", "good"}, Open: open}, zap.NewNop())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		synctest.Wait()
		for _, d := range h.Destinations() {
			if d.State != instance.Failed || d.Err == nil {
				t.Errorf("%s: %s, %v", d.Destination, d.State, d.Err)
			}
		}
		cancel()
		<-done
	})
}
