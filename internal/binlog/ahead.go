package binlog

import (
	"context"
	"slices"

	"github.com/canald/canald/internal/ddl"
	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/render"
	"github.com/canald/canald/internal/schema"
)

// fromAhead stands in the history for a structure that statements further on told.
const fromAhead = "-- what the statements ahead in the binlog change was taken back"

// mostAhead bounds the statements on one table that are taken back.
const mostAhead = 1000

// before finds the structure that a table had at a place from the one that the
// source has now: the binlog is read from the place on for the statements in
// between, and what they changed is taken back, the last one first. It is nil when
// one of them cannot be taken back, or what comes out does not fit.
func (s *stream) before(ctx context.Context, h event.Header, now *history.Known, tm *event.TableMap, o *event.Optional) (*schema.Table, error) {
	name := schema.Name{Schema: now.Table.Schema, Table: now.Table.Name}
	statements, err := s.ahead(ctx, s.at(h), now.Until, name)
	if err != nil || len(statements) == 0 || len(statements) == mostAhead {
		return nil, err
	}
	t := now.Table
	for _, stmt := range slices.Backward(statements) {
		if t = stmt.Undo(t); t == nil {
			return nil, nil
		}
	}
	cs := entry.Collations{Charsets: s.r.facts.charsets, Widths: s.r.facts.widths, MariaDB: s.r.meta.maria}
	t = entry.Complete(t, tm, o, cs)
	if entry.Fit(t, tm, o) != nil {
		return nil, nil
	}
	return t, nil
}

// ahead reads the binlog between two places for statements that change a table.
func (s *stream) ahead(ctx context.Context, from, to position.Position, name schema.Name) ([]*ddl.Statement, error) {
	files, err := Files(ctx, s.r.cfg)
	if err != nil {
		return nil, err
	}
	cfg := s.r.cfg
	cfg.Counters = nil // it is no progress
	var found []*ddl.Statement
	for _, file := range files {
		if position.CompareFiles(file, from.File) < 0 || position.CompareFiles(file, to.File) > 0 {
			continue
		}
		err := walk(ctx, cfg, file, func(h event.Header, b []byte) (bool, error) {
			at := position.Position{File: file, Offset: uint64(h.Start())}
			if position.Compare(at, to) >= 0 {
				return false, nil
			}
			if position.Compare(at, from) <= 0 || h.Type != event.TypeQuery && h.Type != event.TypeMariaQueryCompressed {
				return true, nil
			}
			if stmt := s.touches(h, b, name); stmt != nil {
				found = append(found, stmt)
			}
			return len(found) < mostAhead, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// touches reads a statement; it is nil for one that has nothing to do with the table.
func (s *stream) touches(h event.Header, b []byte, name schema.Name) *ddl.Statement {
	q, err := event.ParseQuery(b)
	if err != nil {
		return nil
	}
	sql := q.SQL
	if h.Type == event.TypeMariaQueryCompressed {
		if sql, err = entry.InflateStatement(b); err != nil {
			return nil
		}
	}
	text, mode, _ := s.session(&q, sql)
	stmt, err := ddl.Read(text, mode)
	if err != nil || stmt == nil {
		return nil
	}
	if !slices.ContainsFunc(stmt.Mentions(), func(n schema.Name) bool { return n == name || n.Table == "" && n.Schema == name.Schema }) {
		return nil
	}
	return stmt
}

// session is the statement's text in UTF-8 and how it is read.
func (s *stream) session(q *event.Query, sql []byte) ([]byte, ddl.Mode, *render.Charset) {
	session := event.ParseSession(q.Status)
	mode := ddl.Mode{
		Schema:     string(render.UTF8(nil, q.Schema)),
		ANSIQuotes: session.SQLMode&event.ModeANSIQuotes != 0, NoBackslashEscapes: session.SQLMode&event.ModeNoBackslashEscapes != 0,
		MariaDB: s.r.meta.maria, LowerNames: s.r.facts.fold,
	}
	cs := s.r.facts.charsets[uint64(session.Collation)]
	if cs == nil || isASCII(sql) {
		return sql, mode, cs
	}
	return cs.Append(nil, sql), mode, cs
}
