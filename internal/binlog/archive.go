package binlog

import (
	"context"
	"strings"

	"github.com/canald/canald/internal/ddl"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
	"github.com/canald/canald/internal/tsdb"
)

// mode is how the source's own statements are read.
func (r *Reader) mode() ddl.Mode {
	return ddl.Mode{MariaDB: r.meta.maria, LowerNames: r.facts.fold}
}

// loadArchived begins with the structures that the archive has for the start.
func (r *Reader) loadArchived(ctx context.Context, from position.Position) (loaded bool, err error) {
	if r.cfg.Archive == nil {
		return false, nil
	}
	tables, err := r.cfg.Archive.Load(ctx, from, r.mode())
	if err != nil || len(tables) == 0 {
		return false, err
	}
	kept := tables[:0]
	for _, t := range tables {
		if !r.skipped(schema.Name{Schema: t.Schema, Table: t.Name}) {
			kept = append(kept, t)
		}
	}
	return true, r.history.Learn(kept, from)
}

// archiveAll keeps what was read at the first start of all.
func (r *Reader) archiveAll(ctx context.Context, tables []*schema.Table) error {
	if r.cfg.Archive == nil {
		return nil
	}
	return r.cfg.Archive.Begin(ctx, tables, r.mode(), r.show)
}

// archiveKnown does so with what is known already. Without an archive nothing is
// looked at: structures are decoded when somebody asks for them.
func (r *Reader) archiveKnown(ctx context.Context) error {
	if r.cfg.Archive == nil {
		return nil
	}
	return r.archiveAll(ctx, r.known())
}

// archiveOne keeps a table that was read from the source because its rows came.
func (r *Reader) archiveOne(ctx context.Context, at position.Position, t *schema.Table) error {
	if r.cfg.Archive == nil {
		return nil
	}
	sql, err := tsdb.Create(ctx, t, r.mode(), r.show)
	if err != nil || sql == "" {
		return err
	}
	first := ddl.Result{Kind: ddl.Create, Schema: t.Schema, Table: t.Name}
	return r.cfg.Archive.Keep(ctx, tsdb.Statement{At: at, Schema: t.Schema, First: &first, SQL: sql, OnDemand: true})
}

// archiveStatement keeps a statement that changes structures, and now and then all
// structures ahead of it.
func (r *Reader) archiveStatement(ctx context.Context, at position.Position, sql []byte, mode ddl.Mode) error {
	a := r.cfg.Archive
	if a == nil {
		return nil
	}
	if a.Due(at) {
		if err := a.Snapshot(ctx, at, r.known(), r.mode(), r.show); err != nil {
			return err
		}
	}
	s := tsdb.Statement{At: at, Schema: mode.Schema, SQL: string(sql)}
	if results := ddl.Druid(sql, mode); len(results) > 0 && results[0].HasTable {
		s.First = &results[0]
	}
	return a.Keep(ctx, s)
}

// known are the tables whose structures are known.
func (r *Reader) known() (all []*schema.Table) {
	for _, n := range r.history.Names() {
		if k := r.history.Get(n); k != nil && k.Table != nil {
			all = append(all, k.Table)
		}
	}
	return all
}

// show asks the source for the statement that makes a table; it is empty for a view.
func (r *Reader) show(ctx context.Context, n schema.Name) (string, error) {
	res, err := r.meta.query(ctx, "SHOW CREATE TABLE `"+strings.ReplaceAll(n.Schema, "`", "``")+"`.`"+strings.ReplaceAll(n.Table, "`", "``")+"`")
	if err != nil {
		return "", err
	}
	defer res.Close()
	text, err := res.GetStringByName(0, "Create Table")
	if err != nil {
		return "", nil // a view's column is called otherwise
	}
	return strings.Clone(text), nil
}
