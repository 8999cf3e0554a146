package binlog

import (
	"bytes"
	"context"
	"slices"
	"unicode/utf8"

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

// mostAhead bounds the statements that are kept of the binlog ahead.
const mostAhead = 10_000

// scan is what was found between two places of the binlog.
type scan struct {
	from, to   position.Position
	statements []placed
	full       bool // there are more than are kept
}

// placed is a statement that changes structures, and where it stands.
type placed struct {
	at   position.Position
	stmt *ddl.Statement
}

// before finds the structure that a table had at a place from the one that the
// source has now: what the statements in between changed is taken back, the last
// one first. changed is false when none of them is about the table; t is nil when
// one cannot be taken back, or what comes out does not fit.
func (s *stream) before(ctx context.Context, at position.Position, now *history.Known, tm *event.TableMap, o *event.Optional) (t *schema.Table, changed bool, err error) {
	name := schema.Name{Schema: now.Table.Schema, Table: now.Table.Name}
	ahead, err := s.r.ahead(ctx, at, now.Until)
	if err != nil || ahead.full {
		return nil, true, err
	}
	t = now.Table
	for _, p := range slices.Backward(ahead.statements) {
		if position.Compare(p.at, at) <= 0 || position.Compare(p.at, now.Until) >= 0 || !touches(p.stmt, name) {
			continue
		}
		changed = true
		if t = p.stmt.Undo(t); t == nil {
			return nil, true, nil
		}
	}
	if !changed {
		return now.Table, false, nil
	}
	t = entry.Complete(t, tm, o, s.r.facts.collations)
	if entry.Fit(t, tm, o, s.r.facts.rowID) != nil {
		return nil, true, nil
	}
	return t, true, nil
}

// touches tells whether a statement has to do with a table.
func touches(stmt *ddl.Statement, name schema.Name) bool {
	return slices.ContainsFunc(stmt.Mentions(), func(n schema.Name) bool { return n == name || n.Table == "" && n.Schema == name.Schema })
}

// ahead reads the binlog between two places, once, for statements that change structures.
func (r *Reader) ahead(ctx context.Context, from, to position.Position) (*scan, error) {
	have := &r.scanned
	if have.to.File == "" || position.Compare(have.from, from) > 0 || position.Compare(have.to, from) < 0 {
		*have = scan{from: from, to: from}
	}
	if position.Compare(have.to, to) >= 0 {
		return have, nil
	}
	cfg := r.cfg
	cfg.Counters = nil // it is no progress
	// The files are numbered; to list them takes a right that a replica need not have.
	start := have.to
	for position.CompareFiles(start.File, to.File) <= 0 && !have.full {
		err := walkFrom(ctx, cfg, start, func(h event.Header, b []byte) (bool, error) {
			at := position.Position{File: start.File, Offset: uint64(h.Start())}
			if h.LogPos == 0 || position.Compare(at, have.to) < 0 {
				return true, nil
			}
			if position.Compare(at, to) >= 0 {
				return false, nil
			}
			if stmt := r.changes(h, b); stmt != nil {
				have.statements = append(have.statements, placed{at, stmt})
			}
			have.full = len(have.statements) >= mostAhead
			return !have.full, nil
		})
		if err != nil {
			*have = scan{}
			return nil, err
		}
		start = position.Position{File: position.NextFile(start.File), Offset: firstOffset}
	}
	have.to = to
	return have, nil
}

// changes reads an event; it is nil for one that changes no structure.
func (r *Reader) changes(h event.Header, b []byte) *ddl.Statement {
	if h.Type != event.TypeQuery && h.Type != event.TypeMariaQueryCompressed {
		return nil
	}
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
	text, mode, _ := r.session(&q, sql)
	stmt, err := ddl.Read(text, mode)
	if err != nil {
		return nil
	}
	return stmt
}

// generated tells whether a statement is what MySQL 5.5 writes for CREATE TABLE …
// SELECT: a text of its own in UTF-8, whatever the event says of the session.
func (r *Reader) generated(sql []byte) bool {
	major, minor, _ := event.Version(r.meta.version)
	if r.meta.maria || major > 5 || major == 5 && minor > 5 || !bytes.HasPrefix(sql, []byte("CREATE TABLE `")) {
		return false
	}
	return bytes.Contains(sql, []byte("` (\n  `")) && utf8.Valid(sql)
}

// session is the statement's text in UTF-8 and how it is read.
func (r *Reader) session(q *event.Query, sql []byte) ([]byte, ddl.Mode, *render.Charset) {
	session := event.ParseSession(q.Status)
	mode := r.mode()
	mode.Schema = string(render.UTF8(nil, q.Schema))
	mode.ANSIQuotes, mode.NoBackslashEscapes = session.SQLMode&event.ModeANSIQuotes != 0, session.SQLMode&event.ModeNoBackslashEscapes != 0
	cs := r.facts.collations.Charsets[uint64(session.Collation)]
	if cs == nil || isASCII(sql) {
		return sql, mode, cs
	}
	if r.generated(sql) {
		return sql, mode, nil
	}
	return cs.Append(nil, sql), mode, cs
}
