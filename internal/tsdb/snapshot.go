package tsdb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/canald/canald/internal/ddl"
	"github.com/canald/canald/internal/schema"
)

// catalog holds tables by name; one whose columns are not known is nil.
type catalog map[schema.Name]*schema.Table

// Table and Tables are what ddl.Statement.Apply asks.
func (c catalog) Table(n schema.Name) (*schema.Table, bool) {
	t, there := c[n]
	return t, t != nil || !there
}

// Tables lists the tables of a schema.
func (c catalog) Tables(schemaName string) (names []schema.Name) {
	for n := range c {
		if n.Schema == schemaName {
			names = append(names, n)
		}
	}
	return names
}

func (c catalog) names() (names []schema.Name) {
	for n := range c {
		names = append(names, n)
	}
	return names
}

func (c catalog) list() (all []*schema.Table) {
	for _, t := range c {
		if t != nil {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, compare)
	return all
}

func compare(a, b *schema.Table) int {
	return strings.Compare(a.Schema+"\x00"+a.Name, b.Schema+"\x00"+b.Name)
}

// apply changes the tables as a statement does. It is false for one that was not
// understood: what it may have changed is not known any more.
func (c catalog) apply(sql string, m ddl.Mode) bool {
	st, err := ddl.Read([]byte(sql), m)
	if err != nil {
		for _, n := range schema.Mentioned([]byte(sql), c.names()) {
			c[n] = nil
		}
		return false
	}
	if st == nil {
		return true
	}
	for _, change := range st.Apply(c) {
		switch {
		case change.Unknown:
			c[change.Name] = nil
		case change.After == nil:
			delete(c, change.Name)
		default:
			c[change.Name] = change.After
		}
	}
	return true
}

// maxSnapshotBytes is above what a server of MySQL takes in one row.
const maxSnapshotBytes = 1 << 30

var errSnapshot = errors.New("a snapshot is an object of texts")

// readSnapshot reads the tables of a snapshot: an object that holds for each schema,
// in back quotes, the statements that make its tables.
func readSnapshot(data string, mode ddl.Mode) (catalog, error) {
	if len(data) > maxSnapshotBytes {
		return nil, fmt.Errorf("%d bytes", len(data))
	}
	var schemas map[string]string
	if err := json.Unmarshal([]byte(data), &schemas); err != nil {
		return nil, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	c := catalog{}
	for name, statements := range schemas {
		m := mode
		m.Schema = ddl.Unquoted(name)
		if m.LowerNames {
			m.Schema = strings.ToLower(m.Schema)
		}
		for _, sql := range split(statements) {
			c.apply(sql, m)
		}
	}
	return c, nil
}

// split cuts statements apart at their semicolons.
func split(text string) (list []string) {
	from := 0
	var quote byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0 && c == '\\' && quote != '`':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == ';':
			list = append(list, text[from:i])
			from = i + 1
		}
	}
	list = append(list, text[min(from, len(text)):])
	return slices.DeleteFunc(list, func(s string) bool { return strings.TrimSpace(s) == "" })
}

// snapshot writes tables as readSnapshot and Java read them: with the source's own
// statements where they make what is known, else with plain ones of our own.
func snapshot(ctx context.Context, all []*schema.Table, mode ddl.Mode, show Show) (string, error) {
	all = slices.SortedFunc(slices.Values(all), compare)
	schemas := map[string]string{}
	var b strings.Builder
	for i, t := range all {
		sql, err := Create(ctx, t, mode, show)
		if err != nil {
			return "", err
		}
		if sql != "" {
			b.WriteString(sql)
			b.WriteString("; \n")
		}
		if i+1 == len(all) || all[i+1].Schema != t.Schema {
			schemas[quoted(t.Schema)] = b.String()
			b.Reset()
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(schemas); err != nil {
		return "", err
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// Create is the statement that makes a table, empty for what is none. That of the
// source says more (what may be null, for one), and is taken when it makes the same
// columns and has no executable comments, at which Canal's parser fails.
func Create(ctx context.Context, t *schema.Table, mode ddl.Mode, show Show) (string, error) {
	n := schema.Name{Schema: t.Schema, Table: t.Name}
	sql, err := show(ctx, n)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err == nil && sql == "" {
		return "", nil
	}
	if err == nil && !strings.Contains(sql, "/*") {
		c := catalog{}
		mode.Schema = t.Schema
		if c.apply(sql, mode) && c[n] != nil && slices.Equal(c[n].Columns, t.Columns) {
			return sql, nil
		}
	}
	return plain(t), nil
}

func plain(t *schema.Table) string {
	var b strings.Builder
	var keys []string
	b.WriteString("CREATE TABLE " + quoted(t.Name) + " (")
	for i, c := range t.Columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n\t" + quoted(c.Name) + " " + c.Type)
		if c.Key {
			b.WriteString(" NOT NULL")
			keys = append(keys, quoted(c.Name))
		}
	}
	if len(keys) > 0 {
		b.WriteString(",\n\tPRIMARY KEY (" + strings.Join(keys, ", ") + ")")
	}
	b.WriteString("\n)")
	return b.String()
}

func quoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
