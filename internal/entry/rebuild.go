package entry

import (
	"fmt"
	"strings"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/render"
	"github.com/canald/canald/internal/schema"
)

// Collations tells what a source's collation ids mean.
type Collations struct {
	Charsets map[uint64]*render.Charset
	Widths   map[uint64]int // most bytes of a character
	MariaDB  bool           // types are written as MariaDB writes them
}

// binaryCollation is the id of the one of bytes.
const binaryCollation = 63

// Rebuild makes a structure from what the binlog itself says of a table, which
// must include the names of columns (binlog_row_metadata=FULL). Of a column that
// was known before, and may be the same, the type's text is kept; before may be nil.
func Rebuild(name schema.Name, before *schema.Table, m *event.TableMap, o *event.Optional, cs Collations) *schema.Table {
	t := &schema.Table{Schema: name.Schema, Name: name.Table, Columns: make([]schema.Column, 0, len(m.Columns))}
	byName := map[string]*schema.Column{}
	hadKey := false
	if before != nil {
		t.HashKeys = before.HashKeys
		for i := range before.Columns {
			c := &before.Columns[i]
			byName[strings.ToLower(c.Name)] = c
			hadKey = hadKey || c.Key
		}
	}
	for i, mc := range m.Columns {
		c := schema.Column{Name: string(o.Names[i])}
		if hiddenHash(c.Name, mc) {
			t.HashKeys++
			continue
		}
		c.Unsigned = o.Unsigned != nil && o.Unsigned[i]
		old := byName[strings.ToLower(c.Name)]
		if old != nil && differs(old, i, mc, o) == "" {
			c.Type = old.Type
		} else {
			c.Type = typeText(i, mc, o, cs)
		}
		// Without a primary key the source tells its first unique one.
		c.Key = o.Key != nil && o.Key[i] && (before == nil || hadKey)
		t.Columns = append(t.Columns, c)
	}
	return t
}

// Complete gives columns without a type the one that the table map tells.
func Complete(t *schema.Table, m *event.TableMap, o *event.Optional, cs Collations) *schema.Table {
	c := *t
	c.Columns = append([]schema.Column(nil), t.Columns...)
	for i := range c.Columns {
		if c.Columns[i].Type == "" && i < len(m.Columns) {
			c.Columns[i].Type = typeText(i, m.Columns[i], o, cs)
			c.Columns[i].Unsigned = schema.Unsigned(c.Columns[i].Type)
		}
	}
	return &c
}

// hiddenHash tells a column that MariaDB keeps for a unique key over a whole text.
func hiddenHash(name string, c event.Column) bool {
	return c.Type == event.ColLongLong && strings.HasPrefix(name, "DB_ROW_HASH_")
}

// Widths that MariaDB, unlike MySQL from 8.0.19 on, writes behind integers.
var integerWidths = map[event.ColumnType][2]int{
	event.ColTiny: {4, 3}, event.ColShort: {6, 5}, event.ColInt24: {9, 8}, event.ColLong: {11, 10}, event.ColLongLong: {20, 20},
}

// typeText is a column's type as the source would write it.
func typeText(at int, c event.Column, o *event.Optional, cs Collations) string {
	unsigned := o.Unsigned != nil && o.Unsigned[at]
	collation := uint64(0)
	if o.Collations != nil {
		collation = o.Collations[at]
	}
	text := typeName(c)
	switch c.Type {
	case event.ColTiny, event.ColShort, event.ColInt24, event.ColLong, event.ColLongLong:
		if w := integerWidths[c.Type]; cs.MariaDB {
			width := w[0]
			if unsigned {
				width = w[1]
			}
			text += fmt.Sprintf("(%d)", width)
		}
	case event.ColYear:
		if cs.MariaDB {
			text += "(4)"
		}
	case event.ColString, event.ColVarchar, event.ColVarString, event.ColMariaVarcharCompr:
		text = characterType(c, collation, cs)
	case event.ColBlob, event.ColTinyBlob, event.ColMediumBlob, event.ColLongBlob, event.ColMariaBlobCompr:
		kind := "text"
		if collation == binaryCollation {
			kind = "blob"
		}
		text = [...]string{"tiny", "", "medium", "long"}[min(max(int(c.Meta), 1), 4)-1] + kind
	case event.ColEnum, event.ColSet:
		if o.Members != nil {
			text += "(" + quoted(o.Members[at]) + ")"
		}
	}
	if unsigned && c.Type.IsNumber() {
		text += " unsigned"
	}
	return text
}

func characterType(c event.Column, collation uint64, cs Collations) string {
	text, length := "varchar", int(c.Meta)
	if c.Type == event.ColString {
		text = "char"
	}
	if c.Type == event.ColMariaVarcharCompr {
		length = max(length-1, 0) // a byte tells how it is compressed
	}
	if collation == binaryCollation {
		text = strings.Replace(text, "char", "binary", 1)
	} else if w := cs.Widths[collation]; w > 0 {
		length /= w
	}
	return fmt.Sprintf("%s(%d)", text, length)
}

func quoted(members [][]byte) string {
	list := make([]string, 0, len(members))
	for _, m := range members {
		list = append(list, "'"+strings.ReplaceAll(string(render.UTF8(nil, m)), "'", "''")+"'")
	}
	return strings.Join(list, ",")
}
