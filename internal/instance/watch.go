package instance

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/position"
)

// watchClients detaches clients that hold the store full while they are away,
// and ends the dump when nobody makes room for long: the source would end it
// itself one day, and holds resources for it until then.
func (i *Instance) watchClients(ctx context.Context) error {
	tick := time.NewTicker(max(min(i.cfg.AbsentAfter/4, time.Second), 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if id, ok := i.store.DetachAbsent(i.cfg.AbsentAfter); ok {
			i.log.Warn("client is away and holds the store full: detached; its cursor stays and its return restarts the dump there",
				zap.Int16("client_id", int16(id)), zap.Duration("away", i.cfg.AbsentAfter))
		}
		if since := i.store.BlockedSince(); !since.IsZero() && time.Since(since) > i.cfg.ParkAfter {
			i.log.Warn("store is full and no client makes room: the dump ends until one does", zap.Duration("full_for", time.Since(since)))
			i.endDump(errParked)
		}
	}
}

// endDump ends the dump that runs, if one does.
func (i *Instance) endDump(cause error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.mu.restart != nil {
		i.mu.restart(cause)
	}
}

// watchRetention warns before the source purges what a cursor still needs.
func (i *Instance) watchRetention(ctx context.Context) error {
	tick := time.NewTicker(i.cfg.RetentionEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		low := i.book.Smallest()
		if low == nil {
			continue
		}
		files, err := binlog.Files(ctx, i.cfg.Source)
		if err != nil {
			i.log.Debug("binlog files of the source cannot be listed", zap.Error(err))
			continue
		}
		if len(files) > 1 && position.CompareFiles(low.Position.File, files[0]) <= 0 {
			i.log.Warn("a client's cursor stands in the oldest binlog file of the source, or before it: the next purge loses what the client has not got; let the client catch up or keep binlogs longer",
				zap.String("cursor", low.Position.String()), zap.String("oldest", files[0]))
		}
	}
}
