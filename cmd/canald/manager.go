package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/sdnotify"
)

// tellManager tells systemd that the server is ready, feeds its watchdog, and
// says in the end that the process stops. It does nothing where none asks.
func tellManager(ctx context.Context, log *zap.Logger) error {
	tell := func(state string) {
		if err := sdnotify.Notify(context.WithoutCancel(ctx), state); err != nil {
			log.Warn("the service manager cannot be told", zap.Error(err))
		}
	}
	tell(sdnotify.Ready)
	defer tell(sdnotify.Stopping)
	every := sdnotify.Watchdog()
	if every <= 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			tell(sdnotify.Alive)
		case <-ctx.Done():
			return nil
		}
	}
}
