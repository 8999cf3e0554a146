package filter

import "strings"

// Columns is a list of columns of tables, as canal.instance.filter.field and its
// black twin have it: schema.table:column/column,schema.table:column. Names have
// no case and no patterns.
type Columns map[string]map[string]bool

// ParseColumns reads a list. What has not exactly one colon is passed over, as
// Canal does it.
func ParseColumns(list string) Columns {
	c := Columns{}
	for item := range strings.SplitSeq(list, ",") {
		table, columns, ok := strings.Cut(item, ":")
		if !ok || strings.Contains(columns, ":") {
			continue
		}
		names := map[string]bool{}
		for name := range strings.SplitSeq(strings.ToUpper(columns), "/") {
			names[name] = true
		}
		c[strings.ToUpper(strings.TrimSpace(table))] = names
	}
	return c
}

// Shown tells which columns of a table pass a white and a black list: those of
// the white list if it names the table, else those that the black list does not
// name. It is nil when all do.
func Shown(white, black Columns, schema, table string) func(column string) bool {
	key := strings.ToUpper(schema + "." + table)
	if names, ok := white[key]; ok {
		return func(column string) bool { return names[strings.ToUpper(column)] }
	}
	if names, ok := black[key]; ok {
		return func(column string) bool { return !names[strings.ToUpper(column)] }
	}
	return nil
}
