package tail

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/store"
)

// name is the destination's, in log lines.
const name = "tail"

// Sizes of what is fetched at a time.
const (
	fetchUnits = 1000
	fetchWait  = 200 * time.Millisecond
	clientID   = meta.ClientID(1001)
)

// Follow shows the changes of a source from a place on until the context is
// done or the printer is full, whatever happens to the source in between.
func Follow(ctx context.Context, s Source, from string, p *Printer, log *zap.Logger) error {
	cfg := binlog.Config{
		Addr: s.Addr, User: s.User, Password: s.Password, TLS: binlog.TLSMode(s.TLS),
		// High, so that it meets no id that somebody chose.
		ServerID: 1<<31 | rand.Uint32()>>1,
		// Statements beside their rows say nothing more.
		SkipQueries: true,
	}
	if err := lacks(ctx, cfg); err != nil {
		return err
	}
	start, err := place(ctx, cfg, from, time.Now())
	if err != nil {
		return fmt.Errorf("--from %s: %w", from, err)
	}
	open := func(string) (*instance.Instance, error) {
		return instance.New(instance.Config{Destination: name, Source: cfg, Start: start, Filter: s.Filter, Workers: 1, GeneratedID: true}, meta.Memory{}, log)
	}
	ctx, cancel := context.WithCancel(ctx)
	host := instance.NewHost(instance.HostConfig{Destinations: []string{name}, Open: open}, log)
	done := make(chan error, 1)
	go func() { done <- host.Run(ctx) }()
	err = show(ctx, host, p)
	cancel()
	return errors.Join(err, <-done)
}

// show gets, prints and acknowledges.
func show(ctx context.Context, host *instance.Host, p *Printer) error {
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
			b, err := session.Get(ctx, fetchUnits, fetchWait)
			if err != nil {
				return err
			}
			defer b.Release()
			if b.ID == store.NoBatch {
				return nil
			}
			if err := printRuns(p, b.Runs); err != nil {
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

// lacks looks whether the source can be followed at all, and says what to do.
func lacks(ctx context.Context, cfg binlog.Config) error {
	f, err := binlog.Probe(ctx, cfg)
	if err != nil {
		return err
	}
	grant := func(what string) string { return "GRANT " + what + " ON *.* TO '" + cfg.User + "'@'…'" }
	var out []error
	say := func(what, repair string) { out = append(out, fmt.Errorf("%s\n  repair: %s", what, repair)) }
	if strings.EqualFold(f.Variables["log_bin"], "OFF") {
		say("the source writes no binary log", "log_bin=mysql-bin and server_id=1 under [mysqld] in its my.cnf, then restart it")
		return errors.Join(out...)
	}
	if v := f.Variables["binlog_format"]; v != "" && !strings.EqualFold(v, "ROW") {
		say("binlog_format is "+v+": changes are logged without their rows", "SET GLOBAL binlog_format = 'ROW'; and binlog_format=ROW in my.cnf")
	}
	if f.StatusErr != nil {
		say("the account may not ask where the binary log ends: "+f.StatusErr.Error(), grant("REPLICATION CLIENT"))
	}
	if f.DumpErr != nil {
		say("the account may not read the binary log: "+f.DumpErr.Error(), grant("REPLICATION SLAVE"))
	}
	return errors.Join(out...)
}

// place is where --from points to.
func place(ctx context.Context, cfg binlog.Config, from string, now time.Time) (binlog.StartConfig, error) {
	from = strings.TrimSpace(from)
	if from == "" || from == "now" {
		return binlog.StartConfig{}, nil
	}
	if t, ok := parseTime(from, now); ok {
		return binlog.SearchTime(ctx, cfg, t.UnixMilli())
	}
	if file, offset, ok := parsePlace(from); ok {
		files, err := binlog.Files(ctx, cfg)
		if err == nil && !slices.Contains(files, file) {
			return binlog.StartConfig{}, fmt.Errorf("%w: it has %s", binlog.ErrNotThere, strings.Join(files, ", "))
		}
		return binlog.StartConfig{File: file, Offset: offset}, nil
	}
	return binlog.SearchGTID(ctx, cfg, from)
}

// parsePlace reads FILE:OFFSET, or a file alone, whose name has a number at its
// end as no GTID has.
func parsePlace(from string) (file string, offset uint64, ok bool) {
	file, text, has := strings.Cut(from, ":")
	dot := strings.LastIndexByte(file, '.')
	if dot <= 0 {
		return "", 0, false
	}
	if _, err := strconv.ParseUint(file[dot+1:], 10, 64); err != nil {
		return "", 0, false
	}
	if has {
		var err error
		if offset, err = strconv.ParseUint(text, 10, 64); err != nil {
			return "", 0, false
		}
	}
	const first = 4 // of every binlog file
	return file, max(offset, first), true
}

// parseTime reads a time, or -10m for ten minutes ago.
func parseTime(from string, now time.Time) (time.Time, bool) {
	if d, err := time.ParseDuration(from); err == nil && d < 0 {
		return now.Add(d), true
	}
	if t, err := time.Parse(time.RFC3339, from); err == nil {
		return t, true
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, from, time.Local); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// Canal shows what a Canal server delivers to a client id of its own, until the
// context is done or the printer is full. It acknowledges what it got, as that
// client, and unsubscribes in the end.
func Canal(ctx context.Context, o client.Options, p *Printer) error {
	c, err := client.Dial(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.Subscribe(ctx, ""); err != nil {
		return err
	}
	err = showCanal(ctx, c, p)
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if again := c.Unsubscribe(late); again != nil && ctx.Err() != nil {
		// The end cut a call short, and the connection with it.
		if c, err := client.Dial(late, o); err == nil {
			_ = c.Unsubscribe(late)
			_ = c.Close()
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func showCanal(ctx context.Context, c *client.Conn, p *Printer) error {
	for ctx.Err() == nil && !p.Full() {
		m, err := c.GetWithoutAck(ctx, fetchUnits, fetchWait)
		if err != nil {
			return err
		}
		if m.ID < 0 {
			continue
		}
		entries, err := m.Decode()
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := p.Print(e); err != nil {
				return err
			}
		}
		if err := c.Ack(ctx, m.ID); err != nil {
			return err
		}
	}
	return nil
}
