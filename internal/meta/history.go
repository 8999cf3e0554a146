package meta

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/position"
)

// WithHistory makes a keeper that writes a line for each cursor that was saved
// and has moved, as Canal does in meta.log.
func WithHistory(k Keeper, log *zap.Logger) Keeper {
	return &history{Keeper: k, log: log, last: map[ClientID]position.Position{}}
}

// history belongs to the goroutine that saves.
type history struct {
	Keeper
	log  *zap.Logger
	last map[ClientID]position.Position
}

// Save saves and then writes the lines.
func (h *history) Save(ctx context.Context, s State) error {
	if err := h.Keeper.Save(ctx, s); err != nil {
		return err
	}
	for _, c := range s.Clients {
		if c.Cursor == nil || h.last[c.ID] == c.Cursor.Position {
			continue
		}
		p := c.Cursor.Position
		h.last[c.ID] = p
		h.log.Info(fmt.Sprintf("clientId:%d cursor:[%s,%d,%d,%d,%s] address[%s:%d]",
			c.ID, p.File, p.Offset, p.Timestamp, p.ServerID, p.GTID, c.Cursor.Host, c.Cursor.Port))
	}
	return nil
}
