package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// TestActors runs two actors that need a while to end, in a bubble of time.
func TestActors(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name     string
		fails    error         // what the second actor returns by itself
		byItself bool          // it returns by itself after an hour
		takes    time.Duration // to end the first
		took     time.Duration // from the request to the end
		err      string
		order    []string
	}{
		{name: "requested", takes: time.Second, took: 2 * time.Second, order: []string{"first", "second"}},
		{name: "one fails", fails: broken, byItself: true, takes: time.Second, took: time.Second, err: "second: broken", order: []string{"second", "first"}},
		{name: "one ends", byItself: true, takes: time.Second, took: time.Second, err: "second ended by itself", order: []string{"second", "first"}},
		{name: "bound missed", takes: 2 * time.Minute, took: time.Minute + time.Second, err: "first did not end in time", order: []string{"second"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var order []string
				ended := func(name string) {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, name)
				}
				first := actor{name: "first", run: func(ctx context.Context) error {
					<-ctx.Done()
					time.Sleep(c.takes)
					ended("first")
					return nil
				}}
				second := actor{name: "second", run: func(ctx context.Context) error {
					defer ended("second")
					if c.byItself {
						time.Sleep(time.Hour)
						return c.fails
					}
					<-ctx.Done()
					time.Sleep(time.Second)
					return nil
				}}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if !c.byItself {
					time.AfterFunc(time.Hour, cancel)
				}
				began := time.Now()
				err := runActors(ctx, zap.NewNop(), time.Minute, []actor{first, second})
				if took := time.Since(began) - time.Hour; took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
				if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				mu.Lock()
				if !slices.Equal(order, c.order) {
					t.Errorf("order %v, want %v", order, c.order)
				}
				mu.Unlock()
				// What was left behind ends with the process; here, with the bubble.
				time.Sleep(5 * time.Minute)
			})
		})
	}
}
