package truth

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	mysql "github.com/go-mysql-org/go-mysql/client"
)

// tableName names a table on the server.
type tableName struct{ schema, table string }

func (n tableName) String() string { return n.schema + "." + n.table }

func (n tableName) quoted() string { return backQuote(n.schema) + "." + backQuote(n.table) }

// column is what the server says about a column.
type column struct {
	name, dataType, columnType, charset, extra string
	nullable, key, generated                   bool
}

// table is a table's structure and rows at one moment.
type table struct {
	columns []column
	rows    [][]value
}

// snapshot is all tables of a seed's databases at one moment.
type snapshot map[tableName]*table

// names lists the tables in a fixed order.
func (s snapshot) names() []tableName {
	list := make([]tableName, 0, len(s))
	for n := range s {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b tableName) int { return strings.Compare(a.String(), b.String()) })
	return list
}

// clone copies what replaying changes.
func (s snapshot) clone() snapshot {
	c := make(snapshot, len(s))
	for n, t := range s {
		rows := make([][]value, len(t.rows))
		for i := range t.rows {
			rows[i] = slices.Clone(t.rows[i])
		}
		c[n] = &table{columns: t.columns, rows: rows}
	}
	return c
}

// takeSnapshot reads structures from the information schema, and all rows.
func takeSnapshot(conn *mysql.Conn, schemas []string) (snapshot, error) {
	quoted := make([]string, len(schemas))
	for i, s := range schemas {
		quoted[i] = "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	in := strings.Join(quoted, ",")
	keys, err := conn.Execute(`SELECT table_schema, table_name, column_name FROM information_schema.statistics
		WHERE table_schema IN (` + in + `) AND index_name = 'PRIMARY'`)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	inKey := map[[3]string]bool{}
	for i := range keys.RowNumber() {
		var k [3]string
		for j := range k {
			k[j], _ = keys.GetString(i, j)
		}
		inKey[k] = true
	}
	r, err := conn.Execute(`SELECT c.table_schema, c.table_name, c.column_name, c.data_type, c.column_type, c.character_set_name, c.is_nullable, c.extra
		FROM information_schema.columns c JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
		WHERE c.table_schema IN (` + in + `) AND t.table_schema IN (` + in + `) AND t.table_type = 'BASE TABLE'
		ORDER BY c.table_schema, c.table_name, c.ordinal_position`)
	if err != nil {
		return nil, fmt.Errorf("read structures: %w", err)
	}
	s := snapshot{}
	for i := range r.RowNumber() {
		text := func(n int) string { v, _ := r.GetString(i, n); return v }
		n := tableName{text(0), text(1)}
		if s[n] == nil {
			s[n] = &table{}
		}
		c := column{
			name: text(2), dataType: strings.ToLower(text(3)), columnType: text(4), charset: text(5), extra: strings.ToUpper(text(7)),
			nullable: text(6) == "YES", key: inKey[[3]string{text(0), text(1), text(2)}],
		}
		c.generated = strings.Contains(c.extra, "VIRTUAL") || strings.Contains(c.extra, "STORED") || strings.Contains(c.extra, "PERSISTENT")
		s[n].columns = append(s[n].columns, c)
	}
	for n, t := range s {
		if t.rows, err = readRows(conn, n, t.columns); err != nil {
			return nil, fmt.Errorf("read %s: %w", n, err)
		}
	}
	return s, nil
}

func readRows(conn *mysql.Conn, n tableName, columns []column) ([][]value, error) {
	expressions := make([]string, len(columns))
	for i, c := range columns {
		expressions[i] = c.selectExpression()
	}
	r, err := conn.Execute("SELECT " + strings.Join(expressions, ", ") + " FROM " + n.quoted())
	if err != nil {
		return nil, err
	}
	rows := make([][]value, r.RowNumber())
	for i := range rows {
		rows[i] = make([]value, len(columns))
		for j, c := range columns {
			if null, err := r.IsNull(i, j); err != nil {
				return nil, err
			} else if null {
				rows[i][j] = value{null: true}
				continue
			}
			text, err := r.GetString(i, j)
			if err != nil {
				return nil, err
			}
			if rows[i][j], err = c.ofDatabase(text); err != nil {
				return nil, fmt.Errorf("column %s: %w", c.name, err)
			}
		}
	}
	return rows, nil
}

// difference tells how the rebuilt tables differ from the database's, and empty
// strings when they do not. class is the same for equal kinds of difference.
func difference(got, want snapshot) (class, text string) {
	for _, n := range want.names() {
		g := got[n]
		if g == nil {
			return "table is missing", n.String()
		}
		if class, text = g.difference(want[n]); class != "" {
			return class, n.String() + ": " + text
		}
	}
	for _, n := range got.names() {
		if want[n] == nil {
			return "table should be gone", n.String()
		}
	}
	return "", ""
}

func (t *table) difference(want *table) (class, text string) {
	left := slices.Clone(want.rows)
	var extra [][]value
	// Rows without gaps first, so that those with gaps take what is left.
	rows := slices.Clone(t.rows)
	sort.SliceStable(rows, func(i, j int) bool { return gaps(rows[i]) < gaps(rows[j]) })
	exact := map[string][]int{}
	for i, r := range left {
		exact[rowKey(r)] = append(exact[rowKey(r)], i)
	}
	used := make([]bool, len(left))
	for _, r := range rows {
		if gaps(r) == 0 {
			if list := exact[rowKey(r)]; len(list) > 0 {
				used[list[0]] = true
				exact[rowKey(r)] = list[1:]
				continue
			}
			extra = append(extra, r)
			continue
		}
		i := slices.IndexFunc(left, func(w []value) bool { return sameRow(r, w) })
		for i >= 0 && used[i] {
			next := slices.IndexFunc(left[i+1:], func(w []value) bool { return sameRow(r, w) })
			if next < 0 {
				i = -1
				break
			}
			i += 1 + next
		}
		if i < 0 {
			extra = append(extra, r)
		} else {
			used[i] = true
		}
	}
	var missing [][]value
	for i, r := range left {
		if !used[i] {
			missing = append(missing, r)
		}
	}
	switch {
	case len(extra) == 0 && len(missing) == 0:
		return "", ""
	case len(missing) == 0:
		return "rows too many", fmt.Sprintf("%d rows too many, as %v", len(extra), extra[0])
	case len(extra) == 0:
		return "rows are missing", fmt.Sprintf("%d rows are missing, as %v", len(missing), missing[0])
	}
	// The pair that is nearest tells most.
	best, columns := [2]int{}, []int(nil)
	for i := range extra {
		for j := range missing {
			if d := differing(extra[i], missing[j]); columns == nil || len(d) < len(columns) {
				best, columns = [2]int{i, j}, d
			}
		}
	}
	g, w := extra[best[0]], missing[best[1]]
	var lines []string
	for _, i := range columns {
		lines = append(lines, fmt.Sprintf("%s (%s %s) got %s, the database has %s", want.columns[i].name, want.columns[i].columnType, want.columns[i].charset, g[i], w[i]))
	}
	return "value of " + want.columns[columns[0]].dataType, fmt.Sprintf("%d rows differ: %s", len(extra), strings.Join(lines, "; "))
}

func gaps(r []value) int {
	n := 0
	for _, v := range r {
		if v.any {
			n++
		}
	}
	return n
}

func rowKey(r []value) string {
	var b strings.Builder
	for _, v := range r {
		if v.null {
			b.WriteString("N;")
		} else {
			fmt.Fprintf(&b, "%d:%s;", len(v.text), v.text)
		}
	}
	return b.String()
}

func sameRow(a, b []value) bool { return len(a) == len(b) && len(differing(a, b)) == 0 }

func differing(a, b []value) []int {
	list := []int{}
	for i := range min(len(a), len(b)) {
		if !a[i].same(b[i]) {
			list = append(list, i)
		}
	}
	return list
}
