package truth

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
)

// place is a position in the binlog.
type place struct {
	file   string
	offset int64
}

func (p place) before(q place) bool {
	return p.file < q.file || p.file == q.file && p.offset < q.offset
}

// unit is what was executed between two places of the binlog: a transaction, or
// a statement that changes structures.
type unit struct {
	from, to      place
	sql           string
	ddl           bool
	quiet         bool     // a ddl that changes no table, or failed: Canal may leave it out
	before, after snapshot // of a ddl
}

// failure is what is wrong. class is the same for runs that fail the same way.
type failure struct{ class, text string }

func failed(class, format string, args ...any) *failure {
	return &failure{class, fmt.Sprintf(format, args...)}
}

// replay rebuilds tables from the stream. Only what the entries say is used for
// rows; what a statement did to structures is known from the one who executed it.
type replay struct {
	units  []unit
	next   int // the unit that is not closed yet
	opened bool
	told   bool // the entry of a ddl came
	filled map[tableName]bool
	state  snapshot
	begins bool // transactions have a begin, which MariaDB's have not
	inside bool // a transaction has begun
}

// check replays all entries and compares with the database at its end.
func check(units []unit, end snapshot, entries []*canalpb.Entry, begins bool) *failure {
	r := &replay{units: units, state: snapshot{}, filled: map[tableName]bool{}, begins: begins}
	for _, e := range entries {
		if f := r.entry(e); f != nil {
			return f
		}
	}
	for r.next < len(r.units) {
		if f := r.close(); f != nil {
			return f
		}
	}
	if class, text := difference(r.state, end); class != "" {
		return failed(class, "at the end: %s", text)
	}
	return nil
}

// hidden tells whether a statement changes no table and says what it does in an
// executable comment, which Canal's parser passes over.
func (u *unit) hidden() bool {
	if !strings.Contains(u.sql, "/*!") {
		return false
	}
	class, _ := difference(u.before, u.after)
	return class == ""
}

// close ends a unit: all its entries have been seen.
func (r *replay) close() *failure {
	u := &r.units[r.next]
	if u.ddl {
		if f := r.open(); f != nil {
			return f
		}
		if !r.told && !u.quiet && u.from != u.to && !u.hidden() {
			return failed("statement is missing", "no entry for %s", u.sql)
		}
		for n := range r.filled {
			got, want := snapshot{n: r.state[n]}, snapshot{n: u.after[n]}
			if class, text := difference(got, want); class != "" {
				return failed(class, "after %s: %s", u.sql, text)
			}
		}
		r.state = u.after.clone()
	}
	r.next++
	r.opened, r.told = false, false
	clear(r.filled)
	return nil
}

// open begins a ddl: what came before it is complete.
func (r *replay) open() *failure {
	if r.opened {
		return nil
	}
	r.opened = true
	u := &r.units[r.next]
	if class, text := difference(r.state, u.before); class != "" {
		return failed(class, "before %s: %s", u.sql, text)
	}
	return nil
}

func (r *replay) entry(e *canalpb.Entry) *failure {
	h := e.GetHeader()
	at := place{h.GetLogfileName(), h.GetLogfileOffset()}
	for r.next < len(r.units) && !at.before(r.units[r.next].to) {
		if f := r.close(); f != nil {
			return f
		}
	}
	switch e.GetEntryType() {
	case canalpb.EntryType_TRANSACTIONBEGIN:
		if r.inside || !r.begins {
			return failed("begin", "a begin too many at %s:%d", at.file, at.offset)
		}
		r.inside = true
		return nil
	case canalpb.EntryType_TRANSACTIONEND:
		if !r.inside && r.begins {
			return failed("end", "an end too many at %s:%d", at.file, at.offset)
		}
		r.inside = false
		return nil
	case canalpb.EntryType_ROWDATA:
	default:
		return failed("kind of entry", "%s at %s:%d", e.GetEntryType(), at.file, at.offset)
	}
	if r.next == len(r.units) || at.before(r.units[r.next].from) {
		return nil
	}
	u := &r.units[r.next]
	rc := new(canalpb.RowChange)
	if err := proto.Unmarshal(e.GetStoreValue(), rc); err != nil {
		return failed("entry", "%v", err)
	}
	n := tableName{h.GetSchemaName(), h.GetTableName()}
	if rc.GetIsDdl() {
		return r.statement(u, rc)
	}
	if len(rc.GetRowDatas()) == 0 {
		return nil
	}
	if !r.inside && r.begins {
		return failed("begin", "rows of %s outside of a transaction, in %s", n, u.sql)
	}
	if u.ddl {
		// CREATE TABLE … SELECT: its rows follow.
		if f := r.open(); f != nil {
			return f
		}
		if !r.filled[n] && u.after[n] != nil {
			r.filled[n] = true
			r.state[n] = &table{columns: u.after[n].columns}
		}
	}
	t := r.state[n]
	if t == nil {
		return failed("rows of an unknown table", "rows of %s in %s", n, u.sql)
	}
	for _, row := range rc.GetRowDatas() {
		if f := updated(h.GetEventType(), row); f != nil {
			return failed(f.class, "%s, at %s:%d (%s): %s", n, at.file, at.offset, u.sql, f.text)
		}
		if f := t.apply(h.GetEventType(), row); f != nil {
			return failed(f.class, "%s, at %s:%d (%s): %s", n, at.file, at.offset, u.sql, f.text)
		}
	}
	return nil
}

// statement takes the entry of a statement.
func (r *replay) statement(u *unit, rc *canalpb.RowChange) *failure {
	if !u.ddl && strings.HasPrefix(rc.GetSql(), "DROP TEMPORARY TABLE") {
		// Old servers log it with the transaction that is open.
		return nil
	}
	if !u.ddl {
		return failed("statement too many", "%s among %s", rc.GetSql(), u.sql)
	}
	if f := r.open(); f != nil {
		return f
	}
	// What the server wrote itself has other words.
	rewritten := u.quiet || strings.Contains(rc.GetSql(), "generated by server") || strings.Contains(u.sql, "SELECT") ||
		strings.Contains(rc.GetSql(), "my_row_id")
	if !rewritten && strings.TrimSpace(rc.GetSql()) != strings.TrimSpace(u.sql) {
		return failed("text of a statement", "got %q for %q", rc.GetSql(), u.sql)
	}
	r.told = true
	return nil
}

// apply changes the rows as a row of the stream says.
func (t *table) apply(event canalpb.EventType, row *canalpb.RowData) *failure {
	before, f := t.image(row.GetBeforeColumns())
	if f != nil {
		return f
	}
	after, f := t.image(row.GetAfterColumns())
	if f != nil {
		return f
	}
	switch event {
	case canalpb.EventType_INSERT:
		t.rows = append(t.rows, after)
		return nil
	case canalpb.EventType_UPDATE:
		i := t.find(before)
		if i < 0 {
			return t.lost("updated", before)
		}
		for j := range after {
			if !after[j].any || t.columns[j].generated {
				// A generated column that is not told may have changed with its base.
				t.rows[i][j] = after[j]
			}
		}
	case canalpb.EventType_DELETE:
		i := t.find(before)
		if i < 0 {
			return t.lost("deleted", before)
		}
		t.rows = slices.Delete(t.rows, i, i+1)
	default:
		return failed("kind of rows", "rows of kind %s", event)
	}
	return nil
}

// updated checks which columns are marked as changed: all of a new row, none of
// an old one, and those of an update whose text differs or that had none before.
func updated(event canalpb.EventType, row *canalpb.RowData) *failure {
	before := map[int32]*canalpb.Column{}
	for _, c := range row.GetBeforeColumns() {
		if c.GetUpdated() {
			return failed("updated of a column", "column %s of a before image is marked", c.GetName())
		}
		before[c.GetIndex()] = c
	}
	for _, c := range row.GetAfterColumns() {
		b := before[c.GetIndex()]
		want := event == canalpb.EventType_INSERT || b == nil || b.GetIsNull() != c.GetIsNull() || b.GetValue() != c.GetValue()
		if c.GetUpdated() != want {
			return failed("updated of a column", "column %s: updated %v, want %v", c.GetName(), c.GetUpdated(), want)
		}
	}
	return nil
}

// lost names the column by which a row is not found.
func (t *table) lost(what string, image []value) *failure {
	var best []int
	var nearest []value
	for _, r := range t.rows {
		if d := differing(image, r); nearest == nil || len(d) < len(best) {
			best, nearest = d, r
		}
	}
	if nearest == nil || len(best) == 0 || len(best) == len(image) {
		return failed("row is not there", "the %s row %v is not there, of %d", what, image, len(t.rows))
	}
	c := t.columns[best[0]]
	return failed("value of "+c.dataType, "the %s row is not there: %s (%s) is %s now and was %s", what, c.name, c.columnType, image[best[0]], nearest[best[0]])
}

// find returns the row that has the image's values, an exact one if there is one.
func (t *table) find(image []value) int {
	found := -1
	for i, r := range t.rows {
		if !sameRow(image, r) {
			continue
		}
		gap := false
		for j := range image {
			gap = gap || !image[j].any && r[j].any
		}
		if !gap {
			return i
		}
		if found < 0 {
			found = i
		}
	}
	return found
}

// image makes values of columns; those that are not in it are any. Each column
// must be the table's as of then.
func (t *table) image(columns []*canalpb.Column) ([]value, *failure) {
	values := make([]value, len(t.columns))
	for i := range values {
		values[i].any = true
	}
	last := int32(-1)
	for _, p := range columns {
		i := p.GetIndex()
		if i <= last || int(i) >= len(t.columns) {
			return nil, failed("index of a column", "column %d of %d behind column %d", i, len(t.columns), last)
		}
		last = i
		c := t.columns[i]
		// Java leaves a doubled back quote as it is written.
		if p.GetName() != c.name && p.GetName() != strings.ReplaceAll(c.name, "`", "``") {
			return nil, failed("name of a column", "column %d is %q, was %q then", i, p.GetName(), c.name)
		}
		if p.GetIsKey() != c.key {
			return nil, failed("key of a column", "column %s: isKey %v, was %v then", c.name, p.GetIsKey(), c.key)
		}
		v, err := c.ofStream(p)
		if err != nil {
			return nil, failed("value of "+c.dataType, "column %s %s: %v", c.name, c.columnType, err)
		}
		values[i] = v
	}
	return values, nil
}
