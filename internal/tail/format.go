package tail

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
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

	Rows int // printed so far
	Most int // rows to print; 0 prints all
}

const defaultWidth = 60

// Colors of the terminal.
const (
	red, green, yellow, cyan, dim, plain = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m", "\x1b[2m", "\x1b[0m"
)

// Full tells whether as many rows were printed as were wanted.
func (p *Printer) Full() bool { return p.Most > 0 && p.Rows >= p.Most }

// Print writes the rows or the statement of an entry.
func (p *Printer) Print(e *canalpb.Entry) error {
	if e.GetEntryType() != canalpb.EntryType_ROWDATA {
		return nil
	}
	var change canalpb.RowChange
	if err := proto.Unmarshal(e.GetStoreValue(), &change); err != nil {
		return fmt.Errorf("entry: %w", err)
	}
	h := e.GetHeader()
	if change.GetIsDdl() || change.GetEventType() == canalpb.EventType_QUERY {
		return p.write(p.statement(h, &change))
	}
	for _, r := range change.GetRowDatas() {
		if p.Full() {
			return nil
		}
		p.Rows++
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

func (p *Printer) write(text string) error {
	if text == "" {
		return nil
	}
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

func (p *Printer) statement(h *canalpb.Header, c *canalpb.RowChange) string {
	switch p.Form {
	case Text:
	case JSON:
		return marshal(map[string]any{"file": h.GetLogfileName(), "position": h.GetLogfileOffset(), "time": eventTime(h).Format(time.RFC3339), "type": "STATEMENT", "schema": c.GetDdlSchemaName(), "sql": c.GetSql()})
	case SQL:
		return "-- " + printable(c.GetSql(), 0)
	}
	return p.paint(dim, eventTime(h).Format(time.TimeOnly)) + " " + p.paint(cyan, "! "+printable(c.GetSql(), 4*p.width()))
}

func (p *Printer) width() int {
	if p.Width > 0 {
		return p.Width
	}
	return defaultWidth
}

func (p *Printer) textRow(h *canalpb.Header, t canalpb.EventType, r *canalpb.RowData) string {
	sign, color := "~", yellow
	columns := r.GetAfterColumns()
	switch t {
	case canalpb.EventType_INSERT:
		sign, color = "+", green
	case canalpb.EventType_DELETE:
		sign, color, columns = "-", red, r.GetBeforeColumns()
	default: // updates: nothing else has rows
	}
	var b strings.Builder
	b.WriteString(sign + " " + printable(h.GetSchemaName()+"."+h.GetTableName(), 0))
	old := map[int32]*canalpb.Column{}
	for _, c := range r.GetBeforeColumns() {
		old[c.GetIndex()] = c
	}
	for _, c := range columns {
		before := old[c.GetIndex()]
		switch {
		case t != canalpb.EventType_UPDATE:
			fmt.Fprintf(&b, " %s=%s", printable(c.GetName(), 0), p.value(c))
		case c.GetUpdated() && before != nil:
			fmt.Fprintf(&b, " %s: %s → %s", printable(c.GetName(), 0), p.value(before), p.value(c))
		case c.GetUpdated():
			fmt.Fprintf(&b, " %s: → %s", printable(c.GetName(), 0), p.value(c))
		case c.GetIsKey():
			fmt.Fprintf(&b, " %s=%s", printable(c.GetName(), 0), p.value(c))
		}
	}
	return p.paint(dim, eventTime(h).Format(time.TimeOnly)) + " " + p.paint(color, b.String())
}

func (p *Printer) value(c *canalpb.Column) string {
	switch {
	case c.GetIsNull():
		return "NULL"
	case isBinary(c):
		text := "0x" + hex.EncodeToString(raw(c))
		if len(text) > p.width() {
			text = text[:p.width()] + "…"
		}
		return text
	case isNumber(c):
		return printable(c.GetValue(), p.width())
	}
	return "'" + printable(c.GetValue(), p.width()) + "'"
}

// printable escapes what would move a terminal and cuts what is too long; 0 cuts nothing.
func printable(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if most > 0 && n == most {
			b.WriteRune('…')
			break
		}
		n++
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == utf8.RuneError || !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isBinary tells whether a value is bytes, which Canal carries as ISO-8859-1.
func isBinary(c *canalpb.Column) bool {
	t := strings.ToLower(c.GetMysqlType())
	name, _, _ := strings.Cut(t, "(")
	switch strings.TrimSpace(name) {
	case "tinyblob", "blob", "mediumblob", "longblob", "binary", "varbinary", "geometry", "point", "linestring", "polygon",
		"multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection", "vector":
		return true
	}
	return false
}

func isNumber(c *canalpb.Column) bool {
	name, _, _ := strings.Cut(strings.ToLower(c.GetMysqlType()), "(")
	name, _, _ = strings.Cut(name, " ")
	switch name {
	case "tinyint", "smallint", "mediumint", "int", "integer", "bigint", "decimal", "numeric", "float", "double", "year", "bit":
		return json.Valid([]byte(c.GetValue()))
	}
	return false
}

// raw is the value's bytes.
func raw(c *canalpb.Column) []byte {
	out := make([]byte, 0, len(c.GetValue()))
	for _, r := range c.GetValue() {
		if r > 0xff { // not bytes after all
			return []byte(c.GetValue())
		}
		out = append(out, byte(r))
	}
	return out
}

func jsonValue(c *canalpb.Column) any {
	switch {
	case c.GetIsNull():
		return nil
	case isBinary(c):
		return "0x" + hex.EncodeToString(raw(c))
	case isNumber(c):
		return json.RawMessage(c.GetValue())
	}
	return c.GetValue()
}

func jsonRow(h *canalpb.Header, t canalpb.EventType, r *canalpb.RowData) string {
	image := func(list []*canalpb.Column) map[string]any {
		if len(list) == 0 {
			return nil
		}
		m := map[string]any{}
		for _, c := range list {
			m[c.GetName()] = jsonValue(c)
		}
		return m
	}
	keys := []string{}
	columns := r.GetAfterColumns()
	if len(columns) == 0 {
		columns = r.GetBeforeColumns()
	}
	for _, c := range columns {
		if c.GetIsKey() {
			keys = append(keys, c.GetName())
		}
	}
	row := map[string]any{
		"file": h.GetLogfileName(), "position": h.GetLogfileOffset(), "time": eventTime(h).Format(time.RFC3339), "type": t.String(),
		"schema": h.GetSchemaName(), "table": h.GetTableName(), "key": keys, "before": image(r.GetBeforeColumns()), "after": image(r.GetAfterColumns()),
	}
	if h.GetGtid() != "" {
		row["gtid"] = h.GetGtid()
	}
	return marshal(row)
}

func marshal(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // maps of texts, numbers and null always encode
		return fmt.Sprintf(`{"error":%q}`, err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func quoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

var escapeText = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\x00", `\0`, "\x1a", `\Z`)

func sqlValue(c *canalpb.Column) string {
	switch {
	case c.GetIsNull():
		return "NULL"
	case isBinary(c):
		return "x'" + hex.EncodeToString(raw(c)) + "'"
	case isNumber(c):
		return c.GetValue()
	}
	return "'" + escapeText.Replace(c.GetValue()) + "'"
}

func sqlRow(h *canalpb.Header, t canalpb.EventType, r *canalpb.RowData) string {
	table := quoteName(h.GetSchemaName()) + "." + quoteName(h.GetTableName())
	switch t {
	case canalpb.EventType_INSERT:
		var names, values []string
		for _, c := range r.GetAfterColumns() {
			names, values = append(names, quoteName(c.GetName())), append(values, sqlValue(c))
		}
		return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ");"
	case canalpb.EventType_DELETE:
		return "DELETE FROM " + table + where(r.GetBeforeColumns()) + " LIMIT 1;"
	default: // updates: nothing else has rows
	}
	var set []string
	for _, c := range r.GetAfterColumns() {
		if c.GetUpdated() {
			set = append(set, quoteName(c.GetName())+" = "+sqlValue(c))
		}
	}
	if len(set) == 0 {
		return ""
	}
	return "UPDATE " + table + " SET " + strings.Join(set, ", ") + where(r.GetBeforeColumns()) + " LIMIT 1;"
}

// where names a row by its key, or by all of it when it has none.
func where(columns []*canalpb.Column) string {
	var key, all []string
	for _, c := range columns {
		is := quoteName(c.GetName()) + " <=> " + sqlValue(c)
		all = append(all, is)
		if c.GetIsKey() {
			key = append(key, is)
		}
	}
	if len(key) > 0 {
		all = key
	}
	return " WHERE " + strings.Join(all, " AND ")
}
