package truth

import (
	"fmt"
	"slices"
	"strings"
)

// transaction makes statements that change rows.
func (g *generator) transaction(now snapshot) []line {
	if g.one(2) {
		return []line{{g.rowStatement(now), dml}}
	}
	lines := []line{{"BEGIN", dml}}
	saved := false
	for range 1 + g.IntN(pick(g, []int{3, 3, 8, 20})) {
		lines = append(lines, line{g.rowStatement(now), dml})
		switch {
		case g.noRollback:
		case g.one(15):
			lines = append(lines, line{"SAVEPOINT s1", dml})
			saved = true
		case saved && g.one(3):
			lines = append(lines, line{"ROLLBACK TO SAVEPOINT s1", dml})
		}
	}
	if g.one(12) && !g.noRollback {
		return append(lines, line{"ROLLBACK", dml})
	}
	return append(lines, line{"COMMIT", dml})
}

// rowStatement changes rows of a table.
func (g *generator) rowStatement(now snapshot) string {
	n := pick(g, now.names())
	t := now[n]
	var plain []column
	for _, c := range t.columns {
		if !c.generated {
			plain = append(plain, c)
		}
	}
	if g.one(40) && keyOf(plain) == "" {
		// Many events, more than one put of the store.
		return fmt.Sprintf("INSERT INTO %s SELECT a.* FROM (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) x, (SELECT * FROM %s LIMIT 400) a", g.of(n), g.of(n))
	}
	switch g.IntN(10) {
	case 0, 1:
		return g.update(n, plain)
	case 2:
		return g.remove(n, plain)
	case 3:
		return g.insert("REPLACE", n, plain)
	case 4:
		c := pick(g, plain)
		return g.insert("INSERT", n, plain) + " ON DUPLICATE KEY UPDATE " + g.quote(c.name) + "=" + g.literal(c)
	case 5:
		return g.copyRows(n, plain)
	default:
		return g.insert(pick(g, []string{"INSERT", "INSERT", "INSERT IGNORE"}), n, plain)
	}
}

// value is a literal, and for keys one that is new, mostly.
func (g *generator) value(c column) string {
	if strings.Contains(c.extra, "AUTO_INCREMENT") && g.one(2) {
		return "NULL"
	}
	if c.key && !g.one(6) {
		switch families[c.dataType] {
		case integers, decimals:
			if c.dataType != "tinyint" && c.dataType != "bit" && c.dataType != "year" {
				return fmt.Sprint(g.number())
			}
		case characters, octets:
			return fmt.Sprintf("'k%d'", g.number())
		default:
		}
	}
	return g.literal(c)
}

func (g *generator) insert(verb string, n tableName, columns []column) string {
	var given []column
	for _, c := range columns {
		// A REPLACE that leaves out a column is in MariaDB's binlog as an update
		// that does not tell of it.
		if c.key || verb == "REPLACE" || !g.one(6) {
			given = append(given, c)
		}
	}
	if len(given) == 0 && g.minimal {
		// A row event without a column does not even tell how many rows it has.
		given = columns[:1]
	}
	if len(given) == 0 {
		return verb + " INTO " + g.of(n) + " () VALUES ()"
	}
	names := make([]string, len(given))
	for i, c := range given {
		names[i] = g.quote(c.name)
	}
	rows := make([]string, 1+g.IntN(pick(g, []int{1, 3, 10, 40})))
	for i := range rows {
		values := make([]string, len(given))
		for j, c := range given {
			values[j] = g.value(c)
		}
		rows[i] = "(" + strings.Join(values, ",") + ")"
	}
	return fmt.Sprintf("%s INTO %s (%s) VALUES %s", verb, g.of(n), strings.Join(names, ","), strings.Join(rows, ","))
}

// where chooses some rows in a way that does not depend on their order.
func (g *generator) where(columns []column) string {
	c := pick(g, columns)
	switch g.IntN(4) {
	case 0:
		return " WHERE " + g.quote(c.name) + " IS NULL"
	case 1:
		return ""
	case 2:
		return fmt.Sprintf(" WHERE CRC32(CONCAT_WS('-',%s)) %% %d = 0", g.quote(c.name), 2+g.IntN(4))
	}
	if families[c.dataType] == octets || c.dataType == "json" {
		return fmt.Sprintf(" WHERE LENGTH(%s) > %d", g.quote(c.name), g.IntN(10))
	}
	return " WHERE " + g.quote(c.name) + pick(g, []string{" <= ", " = ", " > "}) + g.literal(c)
}

func (g *generator) update(n tableName, columns []column) string {
	var set []string
	for range 1 + g.IntN(3) {
		c := pick(g, columns)
		v := g.literal(c)
		switch {
		case families[c.dataType] == integers && g.one(2):
			v = g.quote(c.name) + "+" + fmt.Sprint(1+g.IntN(1000))
		case families[c.dataType] == characters && g.one(3):
			v = "CONCAT(" + g.quote(c.name) + ",'+')"
		}
		set = append(set, g.quote(c.name)+"="+v)
	}
	sql := "UPDATE " + pick(g, []string{"", "", "IGNORE "}) + g.of(n) + " SET " + strings.Join(set, ", ") + g.where(columns)
	if key := keyOf(columns); key != "" && g.one(3) {
		sql += " ORDER BY " + key + " LIMIT " + fmt.Sprint(1+g.IntN(5))
	}
	return sql
}

func (g *generator) remove(n tableName, columns []column) string {
	sql := "DELETE FROM " + g.of(n) + g.where(columns)
	if key := keyOf(columns); key != "" && g.one(2) {
		sql += " ORDER BY " + key + " LIMIT " + fmt.Sprint(1+g.IntN(8))
	}
	return sql
}

// keyOf is the primary key as a list, empty if there is none.
func keyOf(columns []column) string {
	var names []string
	for _, c := range columns {
		if c.key {
			names = append(names, backQuote(c.name))
		}
	}
	return strings.Join(names, ",")
}

// copyRows inserts a table's own rows again, the key moved on.
func (g *generator) copyRows(n tableName, columns []column) string {
	names, values := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		names[i] = g.quote(c.name)
		values[i] = names[i]
		if c.key && families[c.dataType] == integers {
			values[i] += fmt.Sprintf("+%d", 10*g.number())
		}
	}
	if !slices.ContainsFunc(columns, func(c column) bool { return c.key }) || g.one(2) {
		return fmt.Sprintf("INSERT IGNORE INTO %s (%s) SELECT %s FROM %s LIMIT %d", g.of(n), strings.Join(names, ","), strings.Join(values, ","), g.of(n), 1+g.IntN(20))
	}
	return fmt.Sprintf("INSERT IGNORE INTO %s (%s) SELECT %s FROM %s ORDER BY %s LIMIT 20", g.of(n), strings.Join(names, ","), strings.Join(values, ","), g.of(n), keyOf(columns))
}
