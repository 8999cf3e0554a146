package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/config"
	"github.com/canald/canald/internal/ddl"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
)

const schemaHelp = `schema shows and mends what an instance knows of its source's tables. Each statement of the binlog that changes columns is kept
with what was before it, so that rows are decoded with the columns of their own time; it may be used while the server runs.
--at takes a place in the binlog (mysql-bin.000042:4711), a time (2026-11-24T12:00:00+01:00), or, with
canal.instance.gtidon, a GTID (3e11fa47-71ca-11e1-9e33-c80aa9429562:23, or 0-1-23 of a MariaDB).`

// schemaCommand is canald schema show, diff and set.
func schemaCommand(options func() (config.Options, error)) *cobra.Command {
	c := &cobra.Command{Use: "schema", Short: "Show and mend the structures of tables that an instance knows", Long: schemaHelp, Args: cobra.NoArgs}
	var destination, at, file string
	c.PersistentFlags().StringVarP(&destination, "destination", "d", "", "destination; may be left out when there is one only")
	show := &cobra.Command{
		Use:   "show [SCHEMA.TABLE]",
		Short: "List the tables, or show the columns of one, now or at a place, and the statement that ends them",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, _, err := openHistory(options, destination)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return listTables(cmd.OutOrStdout(), h)
			}
			return showTable(cmd.OutOrStdout(), h, args[0], at)
		},
	}
	show.Flags().StringVar(&at, "at", "", "place, time or GTID; default: where the instance reads")
	diff := &cobra.Command{
		Use:   "diff",
		Short: "Compare what is known with what the source has now; exit code 1 when something differs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, in, err := openHistory(options, destination)
			if err != nil {
				return err
			}
			return diffTables(cmd.Context(), cmd.OutOrStdout(), h, instanceConfig(in, zap.NewNop()).Source)
		},
	}
	set := &cobra.Command{
		Use:   "set SCHEMA.TABLE --file FILE --at PLACE",
		Short: "Say which columns a table has from a place on, by a CREATE TABLE; the instance takes it at its next attempt",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, _, err := openHistory(options, destination)
			if err != nil {
				return err
			}
			return setTable(cmd.OutOrStdout(), h, args[0], file, at)
		},
	}
	set.Flags().StringVar(&file, "file", "", "file with a CREATE TABLE statement; - reads standard input")
	set.Flags().StringVar(&at, "at", "", "place in the binlog from which on it counts, as the instance's error names it")
	c.AddCommand(show, diff, set)
	return c
}

// openHistory opens that of a destination.
func openHistory(options func() (config.Options, error), destination string) (*history.History, config.Instance, error) {
	cfg, err := load(options)
	if err != nil {
		return nil, config.Instance{}, err
	}
	if destination == "" {
		found, err := cfg.Scan()
		if err != nil {
			return nil, config.Instance{}, err
		}
		names := cfg.Names(found)
		if len(names) != 1 {
			return nil, config.Instance{}, fmt.Errorf("--destination is needed: there are %d: %s", len(names), strings.Join(names, ", "))
		}
		destination = names[0]
	}
	in, err := cfg.Instance(destination)
	if err != nil {
		return nil, in, fmt.Errorf("destination %q: %w", destination, err)
	}
	if in.HistoryFile == "" {
		return nil, in, fmt.Errorf("destination %q keeps no history of structures: canal.instance.tsdb.enable is false, or its wiring keeps all in memory", destination)
	}
	if _, err := os.Stat(in.HistoryFile); err != nil {
		return nil, in, fmt.Errorf("destination %q has no history of structures yet: %w", destination, err)
	}
	h, err := history.Open(in.HistoryFile, history.Keep{For: in.HistoryKeep})
	return h, in, err
}

func parseTable(text string) (schema.Name, error) {
	s, t, ok := strings.Cut(text, ".")
	if !ok || s == "" || t == "" {
		return schema.Name{}, fmt.Errorf("%q is not SCHEMA.TABLE", text)
	}
	return schema.Name{Schema: s, Table: t}, nil
}

// parsePlace reads file:offset, a time, or a GTID or set of them; after tells what
// lies behind it.
func parsePlace(text string) (p position.Position, after func(position.Position) bool, err error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return p, func(x position.Position) bool { return x.Timestamp > t.UnixMilli() }, nil
	}
	if set, err := position.ParseGTIDSet(text); err == nil && !set.Empty() {
		return p, func(x position.Position) bool {
			has, err := position.ParseGTIDSet(x.GTID)
			return err == nil && has.Beyond(set)
		}, nil
	}
	i := strings.LastIndexByte(text, ':')
	if i <= 0 {
		return p, nil, fmt.Errorf("%q is neither file:offset, nor a time such as 2026-11-24T12:00:00Z, nor a GTID", text)
	}
	p.File = text[:i]
	if p.Offset, err = strconv.ParseUint(text[i+1:], 10, 64); err != nil {
		return p, nil, fmt.Errorf("offset of %q: %w", text, err)
	}
	return p, func(x position.Position) bool { return position.Compare(x, p) > 0 }, nil
}

func sortedNames(h *history.History) []schema.Name {
	names := h.Names()
	slices.SortFunc(names, func(a, b schema.Name) int { return strings.Compare(a.Schema+"."+a.Table, b.Schema+"."+b.Table) })
	return names
}

func listTables(w io.Writer, h *history.History) error {
	names := sortedNames(h)
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, n := range names {
		k := h.Get(n)
		if k == nil {
			_, _ = fmt.Fprintf(out, "%s.%s\tnot known; it is read from the source when its next row comes\n", n.Schema, n.Table)
			continue
		}
		_, _ = fmt.Fprintf(out, "%s.%s\t%d columns\t%s\n", n.Schema, n.Table, len(k.Table.All()), origin(k))
	}
	return out.Flush()
}

func origin(k *history.Known) string {
	switch {
	case !k.Since.IsZero():
		return "since the statement at " + k.Since.String()
	case !k.Until.IsZero():
		return "read from the source at " + k.Until.String()
	}
	return ""
}

func showTable(w io.Writer, h *history.History, table, at string) error {
	name, err := parseTable(table)
	if err != nil {
		return err
	}
	known := h.Get(name)
	var next *history.Record
	if at != "" {
		_, after, err := parsePlace(at)
		if err != nil {
			return err
		}
		if known, next, err = h.At(name, after); err != nil {
			return err
		}
	}
	if known == nil || known.Table == nil {
		return fmt.Errorf("no structure of %s is known there; canald schema show lists the tables", table)
	}
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for i, c := range known.Table.All() {
		_, _ = fmt.Fprintf(out, "%d\t%s\t%s\t%s\n", i, c.Name, c.Type, map[bool]string{true: "key"}[c.Key])
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "-- %s\n", origin(known))
	if err == nil && next != nil {
		_, err = fmt.Fprintf(w, "-- until %s: %s\n", next.At, strings.Join(strings.Fields(next.Statement), " "))
	}
	return err
}

// errDiffers is returned when the source has other structures; they were shown.
var errDiffers = errors.New("the source has other structures than are known: it is ahead of what was read, or a statement was missed")

func diffTables(ctx context.Context, w io.Writer, h *history.History, source binlog.Config) error {
	tables, err := binlog.Structures(ctx, source)
	if err != nil {
		return err
	}
	differs := false
	say := func(format string, args ...any) {
		differs = true
		_, _ = fmt.Fprintf(w, format+"\n", args...)
	}
	names := sortedNames(h)
	for _, n := range names {
		k := h.Get(n)
		if k == nil {
			continue
		}
		now := tables[n]
		if now == nil {
			say("%s.%s: the source has no such table", n.Schema, n.Table)
			continue
		}
		here, there := k.Table.All(), now.All()
		for i := range max(len(here), len(there)) {
			switch {
			case i >= len(here):
				say("%s.%s: column %d: the source has %s %s", n.Schema, n.Table, i, there[i].Name, there[i].Type)
			case i >= len(there):
				say("%s.%s: column %d: %s %s is gone at the source", n.Schema, n.Table, i, here[i].Name, here[i].Type)
			case !strings.EqualFold(here[i].Name, there[i].Name) || here[i].Unsigned != there[i].Unsigned || here[i].Key != there[i].Key:
				say("%s.%s: column %d: known as %s %s%s, the source has %s %s%s", n.Schema, n.Table, i, here[i].Name, here[i].Type, keyMark(here[i]), there[i].Name, there[i].Type, keyMark(there[i]))
			}
		}
	}
	if differs {
		return errDiffers
	}
	_, err = fmt.Fprintf(w, "%d tables are as the source has them\n", len(names))
	return err
}

func keyMark(c schema.Column) string {
	if c.Key {
		return " key"
	}
	return ""
}

// mostFileBytes bounds a file with a statement.
const mostFileBytes = 1 << 20

func setTable(w io.Writer, h *history.History, table, file, at string) error {
	name, err := parseTable(table)
	if err != nil {
		return err
	}
	p, _, err := parsePlace(at)
	if err != nil {
		return fmt.Errorf("--at: %w", err)
	}
	if p.File == "" {
		return errors.New("--at: file:offset is needed, as the instance's error names it")
	}
	in := os.Stdin
	if file != "-" {
		if in, err = os.Open(file); err != nil {
			return fmt.Errorf("--file: %w", err)
		}
		defer func() { _ = in.Close() }()
	}
	raw, err := io.ReadAll(io.LimitReader(in, mostFileBytes))
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	t, err := created(raw, name)
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	if err := h.Set(history.Setting{At: p, Table: t}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s has %d columns from %s on; the instance takes them at its next attempt\n", table, len(t.All()), p)
	return err
}

// nothing is a catalog without tables.
type nothing struct{}

func (nothing) Table(schema.Name) (*schema.Table, bool) { return nil, true }
func (nothing) Tables(string) []schema.Name             { return nil }

// created is the structure that a CREATE TABLE makes, under the given name.
func created(sql []byte, name schema.Name) (*schema.Table, error) {
	stmt, err := ddl.Read(sql, ddl.Mode{Schema: name.Schema})
	if err != nil {
		return nil, err
	}
	if stmt != nil {
		for _, c := range stmt.Apply(nothing{}) {
			if c.After != nil {
				t := *c.After
				t.Schema, t.Name = name.Schema, name.Table
				return &t, nil
			}
		}
	}
	return nil, errors.New("a CREATE TABLE with columns is needed")
}
