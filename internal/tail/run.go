package tail

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/store"
)

// name is the destination's, in log lines.
const name = "tail"

// What is fetched at a time: a get waits for so many KiB, or so long.
const (
	fetchUnits = 1000
	fetchWait  = 50 * time.Millisecond
	clientID   = meta.ClientID(1001)
)

// Options are what Follow needs beside its source.
type Options struct {
	From string       // now, FILE:OFFSET, a time or a GTID set
	Say  func(string) // told what a user should know beside the rows; never nil
	Log  *zap.Logger  // of the engine
}

// Follow shows the changes of a source from a place on until the context is
// done, which is no error, or the printer is full, whatever happens to the
// source in between.
func Follow(ctx context.Context, s Source, o Options, p *Printer) error {
	cfg := binlog.Config{
		Addr: s.Addr(), User: s.User, Password: s.Password, TLS: binlog.TLSMode(s.TLS),
		// High, so that it meets no id that somebody chose.
		ServerID: 1<<31 | rand.Uint32()>>1,
		// Statements beside their rows say nothing more.
		SkipQueries: true,
	}
	if err := follow(ctx, s, cfg, o, p); ctx.Err() == nil {
		return err
	}
	return nil
}

func follow(ctx context.Context, s Source, cfg binlog.Config, o Options, p *Printer) error {
	notes, err := look(ctx, s, cfg)
	if err != nil {
		return err
	}
	for _, n := range notes {
		o.Say(n)
	}
	p.wanted = s.statements()
	start, err := place(ctx, cfg, o.From, time.Now(), o.Say)
	if err != nil {
		return fmt.Errorf("--from %s: %w", o.From, err)
	}
	ic := instance.Config{Destination: name, Source: cfg, Start: start, Filter: s.Filter, Workers: 1, GeneratedID: true}
	if p.Form == SQL {
		ic.Location = time.UTC
	}
	open := func(string) (*instance.Instance, error) { return instance.New(ic, meta.Memory{}, o.Log) }
	if _, err := open(name); err != nil { // the host would try it again and again
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	host := instance.NewHost(instance.HostConfig{Destinations: []string{name}, Open: open}, o.Log)
	done := make(chan error, 1)
	go func() { done <- host.Run(ctx) }()
	err = buffered(p, o.Say, func(flush func() error) error {
		if err := p.begin(true); err != nil {
			return err
		}
		return show(ctx, host, p, flush, &watch{say: o.Say})
	})
	cancel()
	return errors.Join(err, <-done)
}

// buffered collects what the printer writes until flush.
func buffered(p *Printer, say func(string), f func(flush func() error) error) error {
	const bufferBytes = 64 << 10
	out := p.W
	w := bufio.NewWriterSize(out, bufferBytes)
	p.W = w
	defer func() { p.W = out }()
	said := false
	flush := func() error {
		if p.lossy && !said {
			said = true
			say("a text holds bytes that are no UTF-8, as of a column in another character set: they are shown as \uFFFD, and are lost in statements")
		}
		return w.Flush()
	}
	err := f(flush)
	return errors.Join(err, flush())
}

// show gets, prints and acknowledges.
func show(ctx context.Context, host *instance.Host, p *Printer, flush func() error, w *watch) error {
	const look = 20 * time.Millisecond
	subscribed := false
	for ctx.Err() == nil && !p.Full() {
		err := func() error {
			session, err := host.Session(name, clientID)
			if err != nil {
				return err
			}
			if !subscribed {
				if err := session.Subscribe(ctx, ""); err != nil {
					return err
				}
				subscribed = true
			}
			if i := host.Instance(name); i != nil {
				if st, ok := i.Status(); ok {
					if err := w.see(st); err != nil {
						return err
					}
				}
			}
			b, err := session.Get(ctx, fetchUnits, fetchWait)
			if err != nil {
				return err
			}
			defer b.Release()
			if b.ID == store.NoBatch {
				return flush()
			}
			if err := printRuns(p, b.Runs); err != nil {
				return err
			}
			if err := flush(); err != nil {
				return err
			}
			return session.Ack(b.ID)
		}()
		switch {
		case errors.Is(err, store.ErrClosed):
			subscribed = false
			select {
			case <-time.After(look):
			case <-ctx.Done():
			}
		case err != nil && ctx.Err() == nil:
			return err
		}
	}
	return nil
}

// watch says when the source is lost and when it is back.
type watch struct {
	say    func(string)
	errors int64
	lost   bool
	reason string // said last
}

// settled is how long a dump has to last before the source counts as back.
const settled = 300 * time.Millisecond

// see looks at a status. It returns an error when the source has not what was
// asked for, and never will.
func (w *watch) see(s instance.Status) error {
	total := int64(0)
	for _, n := range s.Errors {
		total += n
	}
	if total != w.errors {
		w.errors = total
		if s.Errors["purged"] > 0 {
			return errors.New(s.LastError)
		}
		if s.Errors["refused"] > 0 && s.Dumps > 0 && s.LastEvent.IsZero() {
			// It accepted the account before: it has no event at that place.
			return errors.New(s.LastError)
		}
		if !w.lost || s.LastError != w.reason {
			w.say("source lost, trying again: " + s.LastError)
		}
		w.lost, w.reason = true, s.LastError
	}
	if w.lost && s.Connected && time.Since(s.ConnectedSince) > settled {
		w.lost = false
		w.say("source is back, going on where it was")
	}
	return nil
}

// printRuns prints framed entries: each is a field of Canal's Messages.
func printRuns(p *Printer, runs [][]byte) error {
	for _, run := range runs {
		for len(run) > 0 {
			_, _, n := protowire.ConsumeTag(run)
			if n < 0 {
				return protowire.ParseError(n)
			}
			raw, m := protowire.ConsumeBytes(run[n:])
			if m < 0 {
				return protowire.ParseError(m)
			}
			run = run[n+m:]
			var e canalpb.Entry
			if err := proto.Unmarshal(raw, &e); err != nil {
				return fmt.Errorf("entry: %w", err)
			}
			if err := p.Print(&e); err != nil {
				return err
			}
		}
	}
	return nil
}
