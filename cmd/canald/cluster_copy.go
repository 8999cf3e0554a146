package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/config"
	"github.com/canald/canald/internal/election"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/zkconn"
)

func copyCommand(options func() (config.Options, error)) *cobra.Command {
	var from, to string
	var overwrite bool
	c := &cobra.Command{
		Use:   "copy --from SERVERS --to SERVERS",
		Short: "Carry subscriptions and cursors to another ZooKeeper",
		Long: "copy carries the clients of all destinations, with their filters and cursors, where instances first started, and orders to drain to\n" +
			"another ZooKeeper, or below another chroot. It does nothing while somebody runs one of the destinations in either place, and nothing when\n" +
			"something else is saved in the second place already, unless it is told to overwrite. What is saved in the first place stays there.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tree := &treeOptions{options: options, servers: from}
			cfg, err := tree.home()
			if err != nil {
				return err
			}
			return withZooKeeper(cmd.Context(), cfg, from, true, func(ctx context.Context, a *zkconn.Conn) error {
				return withZooKeeper(ctx, cfg, to, false, func(ctx context.Context, b *zkconn.Conn) error {
					return copyTree(ctx, cmd.OutOrStdout(), a, b, overwrite)
				})
			})
		},
	}
	c.Flags().StringVar(&from, "from", "", "ZooKeeper's servers, as in canal.zkServers, whose nodes are copied")
	c.Flags().StringVar(&to, "to", "", "ZooKeeper's servers that get them")
	c.Flags().BoolVar(&overwrite, "overwrite", false, "replace what is saved there already")
	_ = c.MarkFlagRequired("from")
	_ = c.MarkFlagRequired("to")
	return c
}

// errRuns is why nothing is copied.
var errRuns = errors.New("stop the servers first: what they save would be lost")

func copyTree(ctx context.Context, w io.Writer, a, b *zkconn.Conn, overwrite bool) error {
	names, err := election.Destinations(ctx, a)
	if err != nil {
		return fmt.Errorf("destinations: %w", err)
	}
	if err := nobodyRuns(ctx, names, a, b); err != nil {
		return err
	}
	var all []meta.Saved
	for _, name := range names {
		nodes, err := meta.SavedNodes(ctx, a, name, zap.NewNop())
		if err != nil {
			return fmt.Errorf("destination %s: %w", name, err)
		}
		all = append(all, nodes...)
	}
	drained, err := election.Drained(ctx, a)
	if err != nil {
		return fmt.Errorf("drained servers: %w", err)
	}
	if !overwrite {
		if err := nothingDiffers(ctx, w, all, b); err != nil {
			return err
		}
	}
	counts := map[meta.Carried]int{}
	session, _ := b.Session()
	for _, n := range all {
		what, err := n.Carry(ctx, b, session.ID)
		if err != nil {
			return err
		}
		counts[what]++
		if _, err := fmt.Fprintf(w, "%-7s %s\n", what, n.Path); err != nil {
			return err
		}
	}
	for _, server := range drained {
		if err := election.Drain(ctx, b, server, true); err != nil {
			return fmt.Errorf("server %s: %w", server, err)
		}
		if _, err := fmt.Fprintf(w, "drained %s\n", server); err != nil {
			return err
		}
	}
	// Somebody may have come meanwhile, with other cursors than were copied.
	if err := nobodyRuns(ctx, names, a, b); err != nil {
		return fmt.Errorf("copied, but: %w", err)
	}
	_, err = fmt.Fprintf(w, "%d destinations; %d nodes made, %d changed, %d were the same\n", len(names), counts[meta.Made], counts[meta.Changed], counts[meta.Same])
	return err
}

func nobodyRuns(ctx context.Context, names []string, trees ...*zkconn.Conn) error {
	for n, tree := range trees {
		for _, name := range names {
			s, err := election.Look(ctx, tree, name)
			if err != nil {
				return fmt.Errorf("destination %s: %w", name, err)
			}
			if s.Running {
				return fmt.Errorf("%s runs destination %s in the %s place; %w", orDash(s.Owner), name, []string{"first", "second"}[n], errRuns)
			}
		}
	}
	return nil
}

// nothingDiffers makes sure that nothing that was saved in the second place is lost.
func nothingDiffers(ctx context.Context, w io.Writer, nodes []meta.Saved, b *zkconn.Conn) error {
	var differ []string
	for _, n := range nodes {
		what, err := n.Compare(ctx, b)
		if err != nil {
			return err
		}
		if what == meta.Differs {
			differ = append(differ, n.Path)
		}
	}
	slices.Sort(differ)
	for _, path := range differ {
		if _, err := fmt.Fprintf(w, "%-7s %s\n", meta.Differs, path); err != nil {
			return err
		}
	}
	if len(differ) > 0 {
		return fmt.Errorf("nothing is copied: %d nodes hold something else there; --overwrite replaces them", len(differ))
	}
	return nil
}
