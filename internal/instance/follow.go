package instance

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/binlog"
)

// follow dumps again and again. Pauses grow while nothing gets through and
// start small again once something did.
func (i *Instance) follow(ctx context.Context) error {
	source := i.cfg.Source
	pause := i.cfg.RetryMin
	evicted := 0 // dumps in a row that the source ended soon after they began
	for {
		began := time.Now()
		before := i.store.Stats().Put
		err := i.attempt(ctx, source)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errRestart):
			continue
		case errors.Is(err, errParked):
			i.counters.setParked(true)
			err := i.waitForRoom(ctx)
			i.counters.setParked(false)
			if err != nil {
				return err
			}
			continue
		}
		if i.store.Stats().Put > before || time.Since(began) > i.cfg.RetryMax {
			pause = i.cfg.RetryMin
		}
		if errors.Is(err, binlog.ErrSourceClosed) && time.Since(began) < i.cfg.RetryMax {
			evicted++
		} else {
			evicted = 0
		}
		source.ServerID = i.checkServerID(source.ServerID, evicted)
		wait := pause/2 + rand.N(pause/2+1)
		i.counters.failed(err)
		i.sayDumpError(err, wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(2*pause, i.cfg.RetryMax)
	}
}

// suspectEvictions is how many dumps in a row the source has to end soon after
// their begin before another replica with the same id is suspected.
const suspectEvictions = 3

// checkServerID says so when two replicas seem to share an id, and returns
// another one if the id was generated.
func (i *Instance) checkServerID(id uint32, evicted int) uint32 {
	if evicted == 0 || evicted%suspectEvictions != 0 {
		return id
	}
	next := id
	if i.cfg.GeneratedID {
		next = id&0xff000000 | rand.Uint32()&0x00ffffff
	}
	i.log.Error("the source ends each dump soon after it begins: another replica probably uses the same id; set canal.instance.mysql.slaveId to a number that is unique among the source's replicas",
		zap.Uint32("slave_id", id), zap.Uint32("next_slave_id", next))
	return next
}

// waitForRoom waits until the store can take entries again.
func (i *Instance) waitForRoom(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		i.mu.Lock()
		back := !i.mu.back.IsZero()
		i.mu.Unlock()
		if back || i.store.HasRoom() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
