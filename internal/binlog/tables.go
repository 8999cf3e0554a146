package binlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/ddl"
	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/render"
	"github.com/canald/canald/internal/schema"
)

// at is the place of an event.
func (s *stream) at(h event.Header) position.Position {
	p := position.Position{File: s.file, Offset: s.start(h), ServerID: int64(h.ServerID), Timestamp: int64(h.Timestamp) * 1000, GTID: s.context.GTID}
	if s.payload.active {
		p.Offset = s.payload.offset
	}
	return p
}

// compile makes the codec of a table map, with the structure that held when its
// rows were written.
func (s *stream) compile(ctx context.Context, h event.Header, m *mapped, tm *event.TableMap) error {
	o, err := event.ParseOptional(tm)
	if err != nil {
		s.r.log.Warn("what the source says of columns cannot be read; it is passed over", zap.String("table", m.name.Schema+"."+m.name.Table), zap.Error(err))
		o = event.Optional{}
	}
	t, err := s.structure(ctx, h, m.name, tm, &o)
	var mismatch *entry.MismatchError
	switch {
	case err == nil:
		opts := entry.Options{
			Charset: s.r.cfg.Charset, MariaDB: s.r.meta.maria, Optional: &o, Form: s.r.cfg.Form,
			Widths: s.r.meta.widths(), RowID: s.r.facts.rowID,
		}
		if s.r.cfg.ColumnCharsets {
			opts.Charsets = s.r.facts.collations.Charsets
		}
		if s.r.cfg.ShownColumns != nil {
			opts.Shown = s.r.cfg.ShownColumns(m.name.Schema, m.name.Table)
		}
		m.table, m.codec = t, entry.Compile(t, tm, opts)
		return nil
	case s.r.cfg.SkipBrokenTables && (errors.As(err, &mismatch) || errors.Is(err, ErrNoTable)):
		s.r.log.Error("rows of a table are left out: its structure does not fit the binlog",
			zap.String("table", m.name.Schema+"."+m.name.Table), zap.String("at", s.at(h).String()), zap.Error(err))
		return nil
	}
	return err
}

// structure finds the columns of a table map, from the best that knows them: the
// statements read so far, the binlog's own metadata, the source as it is now.
func (s *stream) structure(ctx context.Context, h event.Header, name schema.Name, tm *event.TableMap, o *event.Optional) (*schema.Table, error) {
	if t := s.r.history.Setting(name, s.at(h)); t != nil {
		if err := entry.Fit(t, tm, o, s.r.facts.rowID); err != nil {
			return nil, fmt.Errorf("the structure that was set by hand: %w", err)
		}
		return t, s.told(h, t, byHand)
	}
	if t := s.r.facts.serviceTable(name, len(tm.Columns)); t != nil {
		return t, nil
	}
	known := s.r.history.Get(name)
	var misfit error
	if known != nil {
		t, err := s.held(ctx, h, known, tm, o)
		var mismatch *entry.MismatchError
		if err == nil || !errors.As(err, &mismatch) {
			return t, err
		}
		misfit = err
	}
	if o.Names != nil {
		var before *schema.Table
		if known != nil {
			before = known.Table
		}
		t := entry.Rebuild(name, before, tm, o, s.r.facts.collations)
		if err := entry.Fit(t, tm, o, s.r.facts.rowID); err == nil {
			return t, s.told(h, t, fromMetadata)
		}
	}
	now, err := s.r.fromSource(ctx, name)
	if errors.Is(err, ErrNoTable) {
		if misfit == nil {
			misfit = err
		}
		return nil, s.explain(h, name, misfit)
	}
	if err != nil {
		return nil, err
	}
	if err := s.r.history.Learn([]*schema.Table{now.Table}, now.Until); err != nil {
		return nil, err
	}
	if err := s.r.archiveOne(ctx, s.at(h), now.Table); err != nil {
		return nil, err
	}
	t, err := s.held(ctx, h, now, tm, o)
	var mismatch *entry.MismatchError
	switch {
	case err == nil:
		if misfit != nil {
			s.r.log.Warn("the known structure of a table did not fit the binlog; that of the source does", zap.String("table", name.Schema+"."+name.Table),
				zap.String("at", s.at(h).String()), zap.NamedError("known", misfit))
		}
		return t, nil
	case !errors.As(err, &mismatch):
		return nil, err
	case misfit == nil:
		misfit = err
	}
	return nil, s.explain(h, name, misfit)
}

// held is the structure that held at a table map, given the one that is known. One
// that was read from the source later than that is taken back to the place. The
// error is a *entry.MismatchError when it was another one.
func (s *stream) held(ctx context.Context, h event.Header, known *history.Known, tm *event.TableMap, o *event.Optional) (*schema.Table, error) {
	at := s.at(h)
	unfit := entry.Fit(known.Table, tm, o, s.r.facts.rowID)
	if !known.ReadAfter(at) || unfit == nil && o.Names != nil {
		return known.Table, unfit
	}
	name := zap.String("table", known.Table.Schema+"."+known.Table.Name)
	t, changed, err := s.before(ctx, at, known, tm, o)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		s.r.log.Warn("the binlog ahead cannot be read for statements that change a table; the source's structure is taken as it is", name, zap.String("at", at.String()), zap.Error(err))
		return known.Table, unfit
	case !changed:
		return known.Table, unfit
	case t != nil:
		s.r.log.Warn("the structure of a table was found by taking back what statements ahead in the binlog change", name, zap.String("at", at.String()))
		return t, s.told(h, t, fromAhead)
	case unfit == nil:
		s.r.log.Warn("statements ahead in the binlog change a table, and cannot be taken back; the source's structure fits by number and types of columns, names may have been others",
			name, zap.String("at", at.String()))
	}
	return known.Table, unfit
}

// told keeps a structure that was found at a table map.
func (s *stream) told(h event.Header, t *schema.Table, how string) error {
	return s.r.history.Record(history.Record{
		At: s.at(h), Sub: s.payload.next, Statement: how,
		Changes: []history.Change{{Name: schema.Name{Schema: t.Schema, Table: t.Name}, After: &history.Known{Table: t}}},
	})
}

// byHand stands in the history for a structure that was set.
const byHand = "-- canald schema set"

// fromMetadata stands in the history for a structure that the binlog itself told.
const fromMetadata = "-- columns as the binlog's own metadata says (binlog_row_metadata=FULL)"

// explain says all that helps with a structure that nobody knows.
func (s *stream) explain(h event.Header, name schema.Name, cause error) error {
	at := s.at(h)
	last := "none"
	if r, ok, err := s.r.history.Last(name); err == nil && ok {
		last = fmt.Sprintf("%.200q at %s", r.Statement, r.At)
	}
	return fmt.Errorf("%w; at %s; last statement known for it: %s; repair: canald schema set %s.%s --file FILE --at %s with the CREATE TABLE that held there, "+
		"or leave its rows out by canal.instance.filter.table.error=true; binlog_row_metadata=FULL on the source prevents this",
		cause, at, last, name.Schema, name.Table, at)
}

// fromSource reads a table as it is now. The connection for statements is
// renewed once when it broke.
func (r *Reader) fromSource(ctx context.Context, name schema.Name) (*history.Known, error) {
	t, err := r.meta.loadTable(ctx, name)
	if err != nil && !isLoginError(err) && ctx.Err() == nil {
		if err := r.renew(ctx); err != nil {
			return nil, err
		}
		t, err = r.meta.loadTable(ctx, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read structure of %s.%s: %w", name.Schema, name.Table, err)
	}
	if t == nil {
		return nil, fmt.Errorf("%w: %s.%s", ErrNoTable, name.Schema, name.Table)
	}
	end, err := r.meta.status(ctx)
	if err != nil {
		return nil, err
	}
	return &history.Known{Table: t, Until: end.Position}, nil
}

// statement hands on a statement that is no transaction control, and brings the
// structures to what they are behind it.
func (s *stream) statement(ctx context.Context, h event.Header, b []byte, q *event.Query, sql []byte) error {
	text, mode, cs := s.r.session(q, sql)
	var altered *schema.Name
	if !s.unsettled {
		var err error
		if altered, err = s.restructure(ctx, h, text, mode); err != nil {
			return err
		}
	}
	st, wanted := s.classify(text, mode, cs, altered)
	if !wanted {
		s.filtered[filteredStatement]++
		return nil
	}
	return s.put(ctx, h, entry.Event{Kind: entry.KindStatement, Statement: st, Resume: !s.inTransaction}, b)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// restructure applies a statement to the structures and keeps it in the history,
// before anything behind it is handed on. It returns the table of an ALTER that changed something.
func (s *stream) restructure(ctx context.Context, h event.Header, sql []byte, mode ddl.Mode) (altered *schema.Name, err error) {
	s.statements++
	hist, at := s.r.history, s.at(h)
	stmt, err := ddl.Read(sql, mode)
	var changes []history.Change
	switch {
	case err != nil:
		for _, n := range schema.Mentioned(sql, hist.Names()) {
			changes = append(changes, history.Change{Name: n, After: &history.Known{}})
		}
		if len(changes) > 0 {
			s.r.log.Warn("statement not understood: the structures that it may change are read from the source again",
				zap.Int("tables", len(changes)), zap.String("at", at.String()), zap.Error(err))
		}
	case stmt == nil:
		return nil, nil
	default:
		if n, ok := stmt.Altered(); ok {
			altered = &n
		}
		for _, c := range stmt.Apply(catalog{s.r, at}) {
			change := history.Change{Name: c.Name}
			switch {
			case c.Unknown && !hist.Has(c.Name), c.After == nil && !c.Unknown && !hist.Has(c.Name):
				continue
			case c.Unknown:
				change.After = &history.Known{}
			case c.After != nil:
				change.After = &history.Known{Table: c.After}
			}
			changes = append(changes, change)
		}
	}
	if len(changes) == 0 {
		return nil, nil
	}
	if err := s.r.archiveStatement(ctx, at, sql, mode); err != nil {
		return nil, err
	}
	s.r.log.Info("statement changes structures", zap.Int("tables", len(changes)), zap.String("table", changes[0].Name.Schema+"."+changes[0].Name.Table), zap.String("at", at.String()))
	return altered, hist.Record(history.Record{At: at, Sub: s.payload.next, Statement: history.Shorten(sql), Changes: changes})
}

// catalog is the history as a statement at a place may use it. A structure that
// was read from the source later than that has the statement in it already, so
// what it was before is not known.
type catalog struct {
	r  *Reader
	at position.Position
}

func (c catalog) Tables(schemaName string) []schema.Name { return c.r.history.Tables(schemaName) }

func (c catalog) Table(n schema.Name) (*schema.Table, bool) {
	h := c.r.history
	k := h.Get(n)
	switch {
	case k != nil:
		return k.Table, !k.ReadAfter(c.at)
	case h.Has(n):
		return nil, false
	}
	return nil, h.Complete() == c.r.filterName() && !c.r.skipped(n)
}

// classify tells how clients see a statement, and whether they do.
func (s *stream) classify(sql []byte, mode ddl.Mode, cs *render.Charset, altered *schema.Name) (_ *entry.Statement, wanted bool) {
	var results []ddl.Result
	if s.r.cfg.Simple {
		results = ddl.Simple(sql, mode)
	} else {
		results = ddl.Druid(sql, mode)
		// Druid passes over executable comments. An ALTER that stands in one all the
		// same changes a table, and clients have to know.
		if altered != nil && len(results) == 0 {
			results = []ddl.Result{{Kind: ddl.Alter, Schema: altered.Schema, Table: altered.Table, HasSchema: true, HasTable: true}}
		}
	}
	cfg := &s.r.cfg
	if cfg.StatementNames && len(results) == 1 && results[0].Kind == ddl.Query && !results[0].HasSchema {
		if named := ddl.Named(sql, mode); len(named) > 0 {
			results = named
		}
	}
	if cfg.AllStatements && len(results) == 0 {
		results = []ddl.Result{{Kind: ddl.Query}}
	}
	if cfg.SkipDDL || !slices.ContainsFunc(results, s.r.accepts) {
		return nil, false
	}
	first := results[0]
	if cfg.PlainNames && first.Kind == ddl.Query {
		first.Schema = ddl.Unquoted(first.Schema)
	}
	var schemaName, table *string
	if first.HasSchema {
		schemaName = &first.Schema
	}
	if first.HasTable {
		table = &first.Table
	}
	st := entry.NewStatement(entry.EventType(first.Kind), schemaName, table, cs)
	if cfg.StatementTables {
		st.AddProp("tables", tablesOf(results))
	}
	return st, true
}

// tablesOf lists the tables that a statement changes as JSON.
func tablesOf(results []ddl.Result) string {
	type changed struct {
		Schema     string `json:"schema"`
		Table      string `json:"table"`
		Type       string `json:"type"`
		FromSchema string `json:"fromSchema,omitempty"`
		FromTable  string `json:"fromTable,omitempty"`
	}
	list := []changed{}
	for _, r := range results {
		if r.HasTable {
			list = append(list, changed{ddl.Unquoted(r.Schema), r.Table, r.Kind.String(), r.FromSchema, r.FromTable})
		}
	}
	text, err := json.Marshal(list)
	if err != nil { // texts can always be written
		return "[]"
	}
	return string(text)
}

// loadData hands on the text of a LOAD DATA of statement format, or says that
// what it changes is lost.
func (s *stream) loadData(ctx context.Context, h event.Header, b []byte) error {
	if !s.r.cfg.LoadData {
		if !s.loadWarned {
			s.loadWarned = true
			s.r.log.Warn("a LOAD DATA in statement format changes rows of which nobody is told: set binlog_format=ROW on the source, or canald.load.data=true to hand its text on",
				zap.String("at", s.at(h).String()))
		}
		return nil
	}
	if s.r.cfg.SkipQueries {
		s.filtered[filteredStatement]++
		return nil
	}
	raw, err := event.LoadQuery(b)
	if err != nil {
		return err
	}
	q, err := event.ParseQuery(raw)
	if err != nil {
		return err
	}
	text, mode, cs := s.r.session(&q, q.SQL)
	st := entry.NewStatement(entry.EventInsert, nil, nil, cs)
	if t, ok := ddl.Loaded(text, mode); ok {
		st = entry.NewStatement(entry.EventInsert, &t.Schema, &t.Table, cs)
	}
	return s.put(ctx, h, entry.Event{Kind: entry.KindStatement, Statement: st}, raw)
}

// accepts applies the filters to one thing that a statement does.
func (r *Reader) accepts(res ddl.Result) bool {
	switch res.Kind {
	case ddl.Insert, ddl.Update, ddl.Delete:
		return !r.cfg.SkipQueries
	case ddl.Query:
		return !r.cfg.SkipDCL
	default: // named by a table
	}
	if !res.HasTable {
		return true // nothing to tell by
	}
	absent := func(s string, has bool) string { // as Canal's patterns see it
		if !has {
			return "null"
		}
		return s
	}
	if !r.skipped(schema.Name{Schema: absent(res.Schema, res.HasSchema), Table: res.Table}) {
		return true
	}
	return res.Kind == ddl.Rename && res.FromTable != "" && !r.skipped(schema.Name{Schema: absent(res.FromSchema, res.FromSchema != ""), Table: res.FromTable})
}
