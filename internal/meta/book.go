// Package meta keeps what must survive an instance: which clients subscribed,
// with which filter, and their cursors.
//
// A Book is the truth while an instance runs; a Keeper loads and saves it. Run
// saves the book whenever it changed, once a period. Books may be used by
// several goroutines.
package meta

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/position"
)

// Client is one subscription.
type Client struct {
	ID     ClientID
	Filter *string // of the last subscription; nil when it had none
	Cursor *position.Cursor
}

// State is a whole book at one moment.
type State struct {
	Destination string
	Clients     []Client         // in order of subscription
	Start       *position.Cursor // where the instance first started; nil before
}

// Keeper is where a book survives: a file, or nothing.
type Keeper interface {
	// Load returns the last state saved. A first start gives an empty state.
	Load(ctx context.Context, destination string) (State, error)
	// Save makes the state durable before it returns.
	Save(ctx context.Context, s State) error
}

// Book holds the subscriptions of one instance.
type Book struct {
	destination string
	mu          struct {
		sync.Mutex
		clients []Client
		start   *position.Cursor
		// gone keeps cursors of clients that unsubscribed: subscribing again in
		// the same run goes on from there.
		gone    map[ClientID]*position.Cursor
		changed int64 // counts changes
		saved   int64 // value of changed that is durable
		flushes Flushes
	}
	wake chan struct{}
}

// NewBook makes a book from a state.
func NewBook(s State) *Book {
	b := &Book{destination: s.Destination, wake: make(chan struct{}, 1)}
	b.mu.clients = slices.Clone(s.Clients)
	b.mu.start = s.Start
	b.mu.gone = map[ClientID]*position.Cursor{}
	return b
}

// Clients lists the subscriptions in order.
func (b *Book) Clients() []Client {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.mu.clients)
}

// Client returns one subscription; ok is false when the client has none.
func (b *Book) Client(id ClientID) (c Client, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.indexLocked(id); i >= 0 {
		return b.mu.clients[i], true
	}
	return Client{}, false
}

// Subscribe adds a subscription, or moves it to the end with a new filter.
func (b *Book) Subscribe(id ClientID, filter string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := Client{ID: id, Filter: &filter, Cursor: b.mu.gone[id]}
	delete(b.mu.gone, id)
	if i := b.indexLocked(id); i >= 0 {
		c.Cursor = b.mu.clients[i].Cursor
		b.mu.clients = slices.Delete(b.mu.clients, i, i+1)
	}
	b.mu.clients = append(b.mu.clients, c)
	b.changeLocked(true)
}

// Unsubscribe removes a subscription; without one it does nothing.
func (b *Book) Unsubscribe(id ClientID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.indexLocked(id)
	if i < 0 {
		return
	}
	b.mu.gone[id] = b.mu.clients[i].Cursor
	b.mu.clients = slices.Delete(b.mu.clients, i, i+1)
	b.changeLocked(true)
}

// SetCursor moves the cursor of a subscribed client; others are left alone.
func (b *Book) SetCursor(id ClientID, c position.Cursor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.indexLocked(id); i >= 0 {
		b.mu.clients[i].Cursor = &c
		b.changeLocked(false)
	}
}

// Start is where the instance first started; nil before.
func (b *Book) Start() *position.Cursor {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.start
}

// SetStart keeps where the instance starts.
func (b *Book) SetStart(c position.Cursor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.start = &c
	b.changeLocked(true)
}

// Forget drops every cursor and the start: the source does not have them any more.
func (b *Book) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.mu.clients {
		b.mu.clients[i].Cursor = nil
	}
	clear(b.mu.gone)
	b.mu.start = nil
	b.changeLocked(true)
}

// changeLocked notes a change; urgent ones are saved without waiting for the period.
func (b *Book) changeLocked(urgent bool) {
	b.mu.changed++
	if urgent {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
}

func (b *Book) indexLocked(id ClientID) int {
	return slices.IndexFunc(b.mu.clients, func(c Client) bool { return c.ID == id })
}

// Smallest is the cursor that lies furthest back; nil when no client has one.
// Cursors of one source are compared by place, of different sources by time.
func (b *Book) Smallest() *position.Cursor {
	var low *position.Cursor
	for _, c := range b.Clients() {
		if c.Cursor != nil && (low == nil || less(c.Cursor, low)) {
			low = c.Cursor
		}
	}
	return low
}

func less(a, b *position.Cursor) bool {
	if a.Host == b.Host && a.Port == b.Port || a.Position.GTID != "" && b.Position.GTID != "" {
		return position.Before(a.Position, b.Position)
	}
	return a.Position.Timestamp < b.Position.Timestamp
}

// FlushBounds sort saves by the time that they took.
var FlushBounds = [...]time.Duration{
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	500 * time.Millisecond, time.Second, 5 * time.Second,
}

// Flushes tells how saving went.
type Flushes struct {
	Count, Errors int64
	Within        [len(FlushBounds)]int64 // saves that took at most the bound
	Took          time.Duration           // all saves together
	Last          time.Time               // when the last save succeeded; zero before
}

func (f *Flushes) add(took time.Duration) {
	f.Count++
	f.Took += took
	for i, bound := range FlushBounds {
		if took <= bound {
			f.Within[i]++
		}
	}
}

// Flushes tells how saving went so far.
func (b *Book) Flushes() Flushes {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.flushes
}

// Flush saves the book if it changed since it was saved last.
func (b *Book) Flush(ctx context.Context, k Keeper) error {
	b.mu.Lock()
	if b.mu.changed == b.mu.saved {
		b.mu.Unlock()
		return nil
	}
	version := b.mu.changed
	s := State{Destination: b.destination, Clients: slices.Clone(b.mu.clients), Start: b.mu.start}
	b.mu.Unlock()
	began := time.Now()
	err := k.Save(ctx, s)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.flushes.add(time.Since(began))
	f := &b.mu.flushes
	if err != nil {
		f.Errors++
		return err
	}
	f.Last = time.Now()
	b.mu.saved = max(b.mu.saved, version)
	return nil
}

// Run flushes the book once a period and at once after a subscription, until
// the context is done, and then a last time. A failed save stays due and is
// tried again; memory stays the truth. It returns the last flush's error.
func (b *Book) Run(ctx context.Context, k Keeper, period time.Duration, log *zap.Logger) error {
	tick := time.NewTicker(max(period, time.Millisecond))
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-b.wake:
		case <-ctx.Done():
			return b.Flush(context.WithoutCancel(ctx), k)
		}
		switch err := b.Flush(ctx, k); {
		case err != nil && !failing:
			failing = true
			log.Error("cursors cannot be saved; they stay in memory and are tried again", zap.Error(err))
		case err == nil && failing:
			failing = false
			log.Info("cursors saved again")
		}
	}
}
