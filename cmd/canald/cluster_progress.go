package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/election"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/zkconn"
)

// progress is what the owner of a destination tells of its clients, for those who
// look at the tree alone. It is written now and then, in the session of the lease.
type progress struct {
	Epoch int64            `json:"epoch"` // of the lease
	At    int64            `json:"at"`    // when it was so, ms since 1970
	Lag   map[string]int64 `json:"lag"`   // ms that each client is behind
}

const (
	progressEvery    = 5 * time.Second
	progressWithin   = 2 * time.Second
	mostProgressSize = 64 << 10
)

func progressPath(destination string) string {
	return "/otter/canald/destinations/" + destination + "/progress"
}

// parseProgress reads what an owner of this epoch wrote; ok is false for anything else.
func parseProgress(raw []byte, epoch int64) (p progress, ok bool) {
	if len(raw) > mostProgressSize || json.Unmarshal(raw, &p) != nil || p.Epoch != epoch || p.At <= 0 {
		return progress{}, false
	}
	for _, lag := range p.Lag {
		if lag < 0 {
			return progress{}, false
		}
	}
	return p, true
}

// quiet tells whether nobody is behind: there is no need to say so again.
func (p progress) quiet() bool {
	for _, lag := range p.Lag {
		if lag > 0 {
			return false
		}
	}
	return true
}

func progressOf(s *instance.Status, epoch int64, now time.Time) progress {
	p := progress{Epoch: epoch, At: now.UnixMilli(), Lag: map[string]int64{}}
	for n := range s.Clients {
		c := &s.Clients[n]
		p.Lag[strconv.Itoa(int(c.ID))] = s.Lag(c, now).Milliseconds()
	}
	return p
}

// tellProgress writes what is new about the destinations that run here.
func (c *cluster) tellProgress(host *instance.Host, log *zap.Logger) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		told := map[string]progress{}
		failing := false
		for {
			select {
			case <-time.After(progressEvery):
			case <-ctx.Done():
				return nil
			}
			err := c.tellOnce(ctx, host, told)
			if err != nil && !failing && ctx.Err() == nil {
				log.Warn("the clients' lag cannot be shown to canald cluster status; trying again", zap.Error(err))
			}
			failing = err != nil
		}
	}
}

func (c *cluster) tellOnce(ctx context.Context, host *instance.Host, told map[string]progress) error {
	session, _ := c.conn.Session()
	if !session.Connected {
		return nil
	}
	var failed error
	for _, h := range host.Destinations() {
		e, _ := c.election.Status(h.Destination)
		if h.Instance == nil || e.Role != election.Leading {
			delete(told, h.Destination)
			continue
		}
		s, ok := h.Instance.Status()
		if !ok {
			continue
		}
		p, before := progressOf(&s, e.Epoch, time.Now()), told[h.Destination]
		if p.quiet() && p.Epoch == before.Epoch && maps.Equal(p.Lag, before.Lag) {
			continue
		}
		raw, err := json.Marshal(p)
		if err == nil {
			err = putNode(ctx, progressWithin, c.conn, session.ID, progressPath(h.Destination), raw)
		}
		if err != nil {
			failed = err
			continue
		}
		told[h.Destination] = p
	}
	return failed
}

// putNode writes a persistent node of ours, in the session of a lease.
func putNode(ctx context.Context, within time.Duration, conn *zkconn.Conn, session int64, node string, raw []byte) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	const anyVersion = -1
	_, err := conn.Set(ctx, session, node, raw, anyVersion)
	if errors.Is(err, zkconn.ErrNoNode) {
		err = conn.Create(ctx, session, node, raw, false)
	}
	return err
}

// readLag adds what the owner tells of its clients.
func (d *destinationStatus) readLag(ctx context.Context, conn *zkconn.Conn) {
	if d.Epoch == 0 {
		return
	}
	n, err := conn.Get(ctx, progressPath(d.Name))
	if err != nil {
		return // an owner in Java tells nothing
	}
	p, ok := parseProgress(n.Data, d.Epoch)
	if !ok {
		return
	}
	for i := range d.Clients {
		c := &d.Clients[i]
		if lag, ok := p.Lag[strconv.Itoa(c.ID)]; ok {
			seconds := (time.Duration(lag) * time.Millisecond).Seconds()
			c.LagSeconds, c.LagAt = &seconds, time.UnixMilli(p.At).UTC().Format(time.RFC3339)
		}
	}
}

// lag is the client's lag for people: what was told long ago says so.
func (c *clientStatus) lag(now time.Time) string {
	if c.LagSeconds == nil {
		return "-"
	}
	text := (time.Duration(*c.LagSeconds * float64(time.Second))).Round(100 * time.Millisecond).String()
	const stale = 3 * progressEvery
	at, err := time.Parse(time.RFC3339, c.LagAt)
	if age := now.Sub(at); err == nil && *c.LagSeconds > 0 && age > stale {
		text += " (" + age.Round(time.Second).String() + " ago)"
	}
	return text
}
