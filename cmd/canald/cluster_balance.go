package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"

	"github.com/canald/canald/internal/config"
	"github.com/canald/canald/internal/election"
	"github.com/canald/canald/internal/zkconn"
)

func rebalanceCommand(tree *treeOptions) *cobra.Command {
	o := &ordered{tree: tree}
	var dry bool
	c := o.flags(&cobra.Command{
		Use:   "rebalance",
		Short: "Move destinations until the servers are loaded evenly",
		Long: "rebalance moves as few destinations as it takes, one after the other. The weights (canald.instance.weight) and the servers that a\n" +
			"destination prefers (canald.instance.prefer) are those of this home's configuration; a destination that it does not know has weight 1.\n" +
			"Destinations that a Java server is a member of, or has, stay where they are, and drained servers get nothing.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := tree.home()
			if err != nil {
				return err
			}
			return tree.with(cmd.Context(), false, func(ctx context.Context, conn *zkconn.Conn) error {
				shares, err := readShares(ctx, conn, cfg)
				if err != nil {
					return err
				}
				return o.balance(ctx, conn, cmd.OutOrStdout(), shares, dry)
			})
		},
	})
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would be moved")
	return c
}

// readShares reads who runs what, and what the configuration says of it.
func readShares(ctx context.Context, conn *zkconn.Conn, cfg *config.Config) ([]election.Share, error) {
	all, drained, err := lookAll(ctx, conn)
	if err != nil {
		return nil, err
	}
	var shares []election.Share
	for _, l := range all {
		name := l.Destination
		if !l.Running || l.Owner == "" {
			continue
		}
		s := election.Share{Destination: name, Owner: l.Owner, Weight: 1}
		java := !l.Canald
		for _, m := range l.Members {
			java = java || !m.Canald
			if m.Address != l.Owner && !slices.Contains(drained, m.Address) {
				s.Candidates = append(s.Candidates, m.Address)
			}
		}
		if java {
			s.Candidates = nil
		}
		if cfg != nil {
			switch in, err := cfg.Instance(name); {
			case err == nil:
				s.Weight, s.Prefer = in.Weight, in.Prefer
			case !errors.Is(err, fs.ErrNotExist):
				return nil, fmt.Errorf("destination %s: %w", name, err)
			}
		}
		shares = append(shares, s)
	}
	return shares, nil
}

func (o *ordered) balance(ctx context.Context, conn *zkconn.Conn, w io.Writer, shares []election.Share, dry bool) error {
	steps := election.Balance(shares)
	var errs []error
	for _, s := range steps {
		if dry {
			if _, err := fmt.Fprintf(w, "%s: %s -> %s\n", s.Destination, s.From, s.To); err != nil {
				return err
			}
			continue
		}
		was, err := election.Move(ctx, conn, s.Destination, s.To)
		if err == nil && was.Owner != s.To {
			err = o.follow(ctx, conn, w, was, s.To)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("destination %s, server %s: %w", s.Destination, s.To, err))
		}
	}
	if len(steps) == 0 {
		_, err := fmt.Fprintln(w, "nothing is to be moved")
		return err
	}
	return errors.Join(errs...)
}
