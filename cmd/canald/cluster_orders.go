package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/canald/canald/internal/election"
	"github.com/canald/canald/internal/zkconn"
)

// orderLook is the pause between two looks at what became of an order.
const orderLook = 50 * time.Millisecond

// orderWait is how long a command waits, unless it is told otherwise.
const orderWait = 30 * time.Second

// ordered runs a command that changes something, with its bound of time.
type ordered struct {
	tree *treeOptions
	wait time.Duration
}

func (o *ordered) flags(c *cobra.Command) *cobra.Command {
	o.tree.flag(c)
	c.Flags().DurationVar(&o.wait, "wait", orderWait, "how long to wait until it is done; 0 gives the order only")
	return c
}

func releaseCommand(tree *treeOptions) *cobra.Command {
	o := &ordered{tree: tree}
	return o.flags(&cobra.Command{
		Use:   "release DESTINATION",
		Short: "Have a destination's owner give it to another server",
		Long: "release orders the owner of a destination, canald or Java, to give it away. A canald hands nothing out any more, saves the cursors and\n" +
			"does not take it again for ten seconds while there are other members.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return tree.with(cmd.Context(), false, func(ctx context.Context, conn *zkconn.Conn) error {
				was, err := election.Release(ctx, conn, args[0])
				if err != nil {
					return fmt.Errorf("destination %s: %w", args[0], err)
				}
				return o.follow(ctx, conn, cmd.OutOrStdout(), was, "")
			})
		},
	})
}

func moveCommand(tree *treeOptions) *cobra.Command {
	o := &ordered{tree: tree}
	return o.flags(&cobra.Command{
		Use:   "move DESTINATION SERVER",
		Short: "Have a destination's owner give it to that server",
		Long: "move is a release that names who takes the destination: other canalds leave it to that server for ten seconds. SERVER is an address\n" +
			"as cluster status shows it.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return tree.with(cmd.Context(), false, func(ctx context.Context, conn *zkconn.Conn) error {
				was, err := election.Move(ctx, conn, args[0], args[1])
				if err != nil {
					return fmt.Errorf("destination %s, server %s: %w", args[0], args[1], err)
				}
				if was.Owner == args[1] {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s runs it already\n", args[0], args[1])
					return err
				}
				return o.follow(ctx, conn, cmd.OutOrStdout(), was, args[1])
			})
		},
	})
}

// follow waits until a destination has another owner, or the one that is named.
func (o *ordered) follow(ctx context.Context, conn *zkconn.Conn, w io.Writer, was election.Standing, to string) error {
	if o.wait <= 0 {
		_, err := fmt.Fprintf(w, "%s: the order is given to %s\n", was.Destination, orDash(was.Owner))
		return err
	}
	began := time.Now()
	now, err := await(ctx, o.wait, func() (election.Standing, bool, error) {
		s, err := election.Look(ctx, conn, was.Destination)
		return s, s.Running && s.Epoch > was.Epoch, err
	})
	if err != nil {
		return fmt.Errorf("destination %s: nobody has taken it: %w", was.Destination, err)
	}
	if _, err := fmt.Fprintf(w, "%s: %s -> %s, epoch %d, %s\n", was.Destination, orDash(was.Owner), now.Owner, now.Epoch, time.Since(began).Round(time.Millisecond)); err != nil {
		return err
	}
	if to != "" && now.Owner != to {
		return fmt.Errorf("%s has taken it and not %s", now.Owner, to)
	}
	return nil
}

// await looks again and again until it is done.
func await[T any](ctx context.Context, limit time.Duration, look func() (T, bool, error)) (T, error) {
	late := time.NewTimer(limit)
	defer late.Stop()
	tick := time.NewTicker(orderLook)
	defer tick.Stop()
	for {
		v, done, err := look()
		if err != nil && !zkconn.Lost(err) || err == nil && done {
			return v, err
		}
		select {
		case <-tick.C:
		case <-late.C:
			return v, fmt.Errorf("not within %s", limit)
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

func drainCommand(tree *treeOptions) *cobra.Command {
	o := &ordered{tree: tree}
	var undo bool
	c := o.flags(&cobra.Command{
		Use:   "drain [SERVER]",
		Short: "Have a server give all its destinations away and take none, until --undo",
		Long: "drain empties a server, by default the one of this home. What no other server can run stays where it is. The order outlasts a restart of\n" +
			"the server; --undo ends it. Java servers do not know it.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := tree.server(args)
			if err != nil {
				return err
			}
			return tree.with(cmd.Context(), false, func(ctx context.Context, conn *zkconn.Conn) error {
				if err := election.Drain(ctx, conn, server, !undo); err != nil {
					return fmt.Errorf("server %s: %w", server, err)
				}
				if undo {
					_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s takes destinations again\n", server)
					return err
				}
				return o.emptied(ctx, conn, cmd.OutOrStdout(), server)
			})
		},
	})
	c.Flags().BoolVar(&undo, "undo", false, "let the server take destinations again")
	return c
}

// server is the one that is named, or that of this home.
func (t *treeOptions) server(args []string) (string, error) {
	if len(args) > 0 {
		if _, _, err := net.SplitHostPort(args[0]); err != nil {
			return "", fmt.Errorf("server %q: host:port is expected, as cluster status shows it", args[0])
		}
		return args[0], nil
	}
	cfg, err := t.home()
	if err != nil {
		return "", err
	}
	if cfg == nil {
		return "", errors.New("there is no home whose server is meant; name a server")
	}
	_, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return "", errors.New("this home has no server that listens for clients; name a server")
	}
	return registeredAddress(cfg, port)
}

// emptied waits until a server runs nothing that another could run.
func (o *ordered) emptied(ctx context.Context, conn *zkconn.Conn, w io.Writer, server string) error {
	if o.wait <= 0 {
		_, err := fmt.Fprintf(w, "%s: the order is given\n", server)
		return err
	}
	kept, err := await(ctx, o.wait, func() ([]string, bool, error) { return kept(ctx, conn, server) })
	if err != nil {
		return fmt.Errorf("server %s is not empty: %w", server, err)
	}
	if _, err := fmt.Fprintf(w, "%s is drained\n", server); err != nil {
		return err
	}
	for _, d := range kept {
		if _, err := fmt.Fprintf(w, "%s stays there: no other server can run it\n", d); err != nil {
			return err
		}
	}
	return nil
}

// kept lists the destinations that nobody but the drained server can run. It is
// done when the server runs nothing else.
func kept(ctx context.Context, conn *zkconn.Conn, server string) (stay []string, done bool, err error) {
	all, drained, err := lookAll(ctx, conn)
	if err != nil {
		return nil, false, err
	}
	done = true
	for _, s := range all {
		switch {
		case !s.Running || s.Owner != server:
		case s.Successors(drained) == 0:
			stay = append(stay, s.Destination)
		default:
			done = false
		}
	}
	return stay, done, nil
}

// lookAll reads how all elections stand, and the servers that are to run nothing.
func lookAll(ctx context.Context, conn *zkconn.Conn) (all []election.Standing, drained []string, err error) {
	if drained, err = election.Drained(ctx, conn); err != nil {
		return nil, nil, fmt.Errorf("drained servers: %w", err)
	}
	names, err := election.Destinations(ctx, conn)
	if err != nil {
		return nil, nil, fmt.Errorf("destinations: %w", err)
	}
	for _, name := range names {
		s, err := election.Look(ctx, conn, name)
		if err != nil {
			return nil, nil, fmt.Errorf("destination %s: %w", name, err)
		}
		all = append(all, s)
	}
	return all, drained, nil
}
