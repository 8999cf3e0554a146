package tail

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
)

// Form is the shape of the output.
type Form int

// The forms.
const (
	Text Form = iota // a line for each row, to be read by people
	JSON             // an object for each row
	SQL              // a statement for each row
)

// Printer writes entries. It belongs to one goroutine.
type Printer struct {
	W     io.Writer
	Form  Form
	Color bool
	Width int // most characters of a value in Text; 0 is 60
	Most  int // rows to print; 0 prints all

	Rows       int // printed so far
	Statements int // printed so far: DDL and what else is no row

	wanted                    func(schema, sql string) bool // statements; nil wants all
	inserts, updates, deletes int
	lossy                     bool // a text held what could not be decoded
}

const defaultWidth = 60

// Colors of the terminal.
const (
	red, green, yellow, cyan, dim, plain = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m", "\x1b[2m", "\x1b[0m"
)

// Full tells whether as many rows were printed as were wanted.
func (p *Printer) Full() bool { return p.Most > 0 && p.Rows >= p.Most }

// Summary tells what was printed.
func (p *Printer) Summary() string {
	s := fmt.Sprintf("%s (%d inserted, %d updated, %d deleted)", count(p.Rows, "row"), p.inserts, p.updates, p.deletes)
	if p.Statements > 0 {
		s += ", " + count(p.Statements, "statement")
	}
	return s
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// begin writes what stands in front of the rows; utc tells that texts of
// TIMESTAMP columns are.
func (p *Printer) begin(utc bool) error {
	if p.Form != SQL {
		return nil
	}
	text := sqlNames + "\n" + sqlMode
	if utc {
		text += "\n" + sqlZone
	}
	return p.write(text)
}

// Print writes the rows or the statement of an entry.
func (p *Printer) Print(e *canalpb.Entry) error {
	if e.GetEntryType() != canalpb.EntryType_ROWDATA || p.Full() {
		return nil
	}
	var change canalpb.RowChange
	if err := proto.Unmarshal(e.GetStoreValue(), &change); err != nil {
		return fmt.Errorf("entry: %w", err)
	}
	h := e.GetHeader()
	if change.GetIsDdl() || change.GetEventType() == canalpb.EventType_QUERY {
		if p.wanted != nil && !p.wanted(change.GetDdlSchemaName(), change.GetSql()) {
			return nil
		}
		p.Statements++
		return p.write(p.statement(h, &change))
	}
	for _, r := range change.GetRowDatas() {
		if p.Full() {
			return nil
		}
		p.count(change.GetEventType())
		var text string
		switch p.Form {
		case JSON:
			text = jsonRow(h, change.GetEventType(), r)
		case SQL:
			text = sqlRow(h, change.GetEventType(), r)
		default:
			text = p.textRow(h, change.GetEventType(), r)
		}
		if err := p.write(text); err != nil {
			return err
		}
	}
	return nil
}

func (p *Printer) count(t canalpb.EventType) {
	p.Rows++
	switch t {
	case canalpb.EventType_INSERT:
		p.inserts++
	case canalpb.EventType_DELETE:
		p.deletes++
	default: // updates: nothing else has rows
		p.updates++
	}
}

func (p *Printer) write(text string) error {
	p.lossy = p.lossy || strings.ContainsRune(text, utf8.RuneError)
	_, err := io.WriteString(p.W, text+"\n")
	return err
}

func (p *Printer) paint(color, text string) string {
	if !p.Color {
		return text
	}
	return color + text + plain
}

func eventTime(h *canalpb.Header) time.Time { return time.UnixMilli(h.GetExecuteTime()) }

// statement is a line for what is no row. Among statements it is a remark: it
// says of no name in which schema it is, and would be run on more than a row.
func (p *Printer) statement(h *canalpb.Header, c *canalpb.RowChange) string {
	switch p.Form {
	case JSON:
		return jsonStatement(h, c)
	case SQL:
		return "-- in " + printable(quoteName(c.GetDdlSchemaName()), 0) + ": " + printable(c.GetSql(), 0)
	default:
		return p.paint(dim, eventTime(h).Format(time.TimeOnly)) + " " + p.paint(cyan, "! "+printable(c.GetSql(), 4*p.width()))
	}
}

func (p *Printer) width() int {
	if p.Width > 0 {
		return p.Width
	}
	return defaultWidth
}

func (p *Printer) textRow(h *canalpb.Header, t canalpb.EventType, r *canalpb.RowData) string {
	var b strings.Builder
	name := " " + printable(h.GetSchemaName()+"."+h.GetTableName(), 0)
	color := yellow
	switch t {
	case canalpb.EventType_INSERT:
		color = green
		b.WriteString("+" + name)
		p.values(&b, r.GetAfterColumns())
	case canalpb.EventType_DELETE:
		color = red
		b.WriteString("-" + name)
		p.values(&b, r.GetBeforeColumns())
	default: // updates: nothing else has rows
		b.WriteString("~" + name)
		p.changes(&b, r)
	}
	return p.paint(dim, eventTime(h).Format(time.TimeOnly)) + " " + p.paint(color, b.String())
}

func (p *Printer) values(b *strings.Builder, columns []*canalpb.Column) {
	for _, c := range columns {
		b.WriteString(" " + printable(columnName(c), 0) + "=" + p.value(c))
	}
}

// changes writes the key of a row and behind it what is new in it.
func (p *Printer) changes(b *strings.Builder, r *canalpb.RowData) {
	old := map[int32]*canalpb.Column{}
	for _, c := range r.GetBeforeColumns() {
		old[c.GetIndex()] = c
		if c.GetIsKey() { // an image may leave out what is the same in the other one
			b.WriteString(" " + printable(columnName(c), 0) + "=" + p.value(c))
		}
	}
	for _, c := range r.GetAfterColumns() {
		if !c.GetUpdated() {
			continue
		}
		b.WriteString(" " + printable(columnName(c), 0) + ": ")
		if before := old[c.GetIndex()]; before != nil {
			b.WriteString(p.value(before) + " ")
		}
		b.WriteString("→ " + p.value(c))
	}
}

func (p *Printer) value(c *canalpb.Column) string {
	if c.GetIsNull() {
		return "NULL"
	}
	switch kindOf(c) {
	case kindBytes:
		return hexText(raw(c), p.width())
	case kindNumber, kindFloat:
		return printable(c.GetValue(), p.width())
	default: // texts
		return "'" + printable(text(c), p.width()) + "'"
	}
}
