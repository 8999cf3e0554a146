package tail

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/canald/canald/client/canalpb"
)

// object writes a JSON object in the order of its calls.
type object struct{ b strings.Builder }

// add appends a member whose value is JSON already.
func (o *object) add(name, value string) {
	if o.b.Len() == 0 {
		o.b.WriteByte('{')
	} else {
		o.b.WriteByte(',')
	}
	o.b.WriteString(quoted(name))
	o.b.WriteByte(':')
	o.b.WriteString(value)
}

func (o *object) text(name, value string) { o.add(name, quoted(value)) }

func (o *object) String() string {
	if o.b.Len() == 0 {
		return "{}"
	}
	return o.b.String() + "}"
}

// quoted is a JSON string in which nothing moves a terminal.
func quoted(s string) string {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil { // a text always encodes
		return `""`
	}
	text := strings.TrimSuffix(out.String(), "\n")
	if strings.IndexFunc(text, moves) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case !moves(r):
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func jsonValue(c *canalpb.Column) string {
	if c.GetIsNull() {
		return "null"
	}
	switch kindOf(c) {
	case kindBytes:
		return quoted(hexText(raw(c), 0))
	case kindNumber, kindFloat:
		return c.GetValue()
	default: // texts
		return quoted(text(c))
	}
}

func jsonImage(columns []*canalpb.Column) string {
	if len(columns) == 0 {
		return "null"
	}
	var o object
	for _, c := range columns {
		o.add(columnName(c), jsonValue(c))
	}
	return o.String()
}

// jsonHead writes what rows and statements have in common.
func jsonHead(h *canalpb.Header, what, schema, table string) *object {
	o := new(object)
	o.text("file", h.GetLogfileName())
	o.add("position", strconv.FormatInt(h.GetLogfileOffset(), 10))
	o.text("time", eventTime(h).Format(time.RFC3339))
	if h.GetGtid() != "" {
		o.text("gtid", h.GetGtid())
	}
	o.text("type", what)
	o.text("schema", schema)
	o.text("table", table)
	return o
}

func jsonRow(h *canalpb.Header, t canalpb.EventType, r *canalpb.RowData) string {
	columns := r.GetAfterColumns()
	if len(columns) == 0 {
		columns = r.GetBeforeColumns()
	}
	keys := []string{}
	for _, c := range columns {
		if c.GetIsKey() {
			keys = append(keys, quoted(columnName(c)))
		}
	}
	o := jsonHead(h, t.String(), h.GetSchemaName(), h.GetTableName())
	o.add("key", "["+strings.Join(keys, ",")+"]")
	o.add("before", jsonImage(r.GetBeforeColumns()))
	o.add("after", jsonImage(r.GetAfterColumns()))
	return o.String()
}

func jsonStatement(h *canalpb.Header, c *canalpb.RowChange) string {
	o := jsonHead(h, "STATEMENT", c.GetDdlSchemaName(), h.GetTableName())
	o.text("sql", c.GetSql())
	return o.String()
}
