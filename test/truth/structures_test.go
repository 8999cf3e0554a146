package truth

import (
	"fmt"
	"slices"
	"strings"
)

// create makes a table in one of many ways.
func (g *generator) create(now snapshot) []line {
	n := g.newTable(now)
	if len(now) > 0 {
		old := pick(g, now.names())
		switch g.IntN(12) {
		case 0:
			return one(g.words("CREATE␣TABLE␣" + g.of(n) + "␣LIKE␣" + g.of(old)))
		case 1:
			return one("CREATE TABLE " + g.of(n) + " AS SELECT * FROM " + g.of(old))
		case 2:
			return one("CREATE TABLE IF NOT EXISTS " + g.of(old) + " (only_one INT)")
		case 3:
			// A table of the session hides the one of the same name for a while.
			return []line{
				{"CREATE TEMPORARY TABLE " + g.of(old) + " (temporary_one INT PRIMARY KEY, x TEXT)", quiet},
				{"INSERT INTO " + g.of(old) + " VALUES (1,'t')", dml},
				{pick(g, []string{"DROP TEMPORARY TABLE ", "DROP TEMPORARY TABLE IF EXISTS ", "DROP TABLE "}) + g.of(old), quiet},
			}
		}
	}
	if g.one(10) {
		return g.partitioned(n)
	}
	verb := "CREATE␣TABLE␣"
	switch {
	case g.one(5):
		verb = "CREATE␣TABLE␣IF␣NOT␣EXISTS␣"
	case g.one(4) && !g.v.MySQL() && g.v.AtLeast(10, 1):
		verb = "CREATE␣OR␣REPLACE␣TABLE␣"
	}
	return one(g.words(verb) + g.of(n) + " " + g.body())
}

func one(sql string) []line { return []line{{sql, ddl}} }

// body is a table's columns, keys and options.
func (g *generator) body() string {
	var parts, names []string
	var ints []column
	for i := range 1 + g.IntN(pick(g, []int{4, 8, 16})) {
		name := g.name(names)
		names = append(names, name)
		d := g.definition(ints)
		if i == 0 {
			switch g.IntN(6) {
			case 0, 1:
				d = pick(g, []string{"INT PRIMARY KEY", "INT NOT NULL AUTO_INCREMENT PRIMARY KEY", "BIGINT UNSIGNED KEY", "int primary key comment 'k'", "SERIAL PRIMARY KEY", "VARCHAR(20) NOT NULL PRIMARY KEY"})
			case 2:
				d = "INT NOT NULL"
			case 3:
				d = pick(g, []string{"SERIAL", "INT NOT NULL UNIQUE", "INT UNIQUE KEY"})
			}
		}
		if strings.HasPrefix(d, "INT") && !strings.Contains(d, "AS (") && !strings.Contains(d, "AUTO") {
			ints = append(ints, column{name: name, dataType: "int"})
		}
		parts = append(parts, g.quote(name)+" "+d)
	}
	if !strings.Contains(parts[0], "KEY") && !strings.Contains(parts[0], "SERIAL") {
		switch {
		case len(ints) > 1 && g.one(3):
			parts = append(parts, fmt.Sprintf("PRIMARY KEY (%s, %s)", g.quote(ints[1].name), g.quote(ints[0].name)))
		case len(ints) > 0 && g.one(2):
			parts = append(parts, pick(g, []string{"PRIMARY KEY (", "CONSTRAINT pk PRIMARY KEY (", "PRIMARY KEY USING BTREE ("})+g.quote(ints[0].name)+")")
		}
	}
	if len(ints) > 0 && g.one(4) {
		c := g.quote(pick(g, ints).name)
		extras := []string{"KEY (" + c + ")", "INDEX `i x` (" + c + ")", "UNIQUE KEY u1 (" + c + ")"}
		if g.v.MySQL() && g.v.AtLeast(8, 0) {
			extras = append(extras, "INDEX ((ABS("+c+")))", "CHECK ("+c+" > -2000000000)", "CONSTRAINT ck CHECK ("+c+" <> 77) NOT ENFORCED", "KEY inv ("+c+") INVISIBLE")
		}
		// Where an index stands does not matter.
		parts = slices.Insert(parts, g.IntN(len(parts)+1), pick(g, extras))
	}
	options := pick(g, []string{"", "", " ENGINE=InnoDB", " ENGINE=InnoDB COMMENT='x; (y'", " DEFAULT CHARSET=latin1", " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", " ROW_FORMAT=DYNAMIC"})
	if g.noRollback && g.one(3) {
		options = " ENGINE=MyISAM"
	}
	if !g.v.AtLeast(5, 6) {
		options = ""
	}
	return "(" + strings.Join(parts, ", ") + ")" + options
}

// partitioned makes a table with partitions and one like a partition.
func (g *generator) partitioned(n tableName) []line {
	kind := pick(g, []string{
		"PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (1000), PARTITION p1 VALUES LESS THAN MAXVALUE)",
		"PARTITION BY HASH (id) PARTITIONS 3", "PARTITION BY KEY () PARTITIONS 2",
	})
	lines := one(fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, v VARCHAR(30), w DECIMAL(8,2)) %s", g.of(n), kind))
	if !strings.Contains(kind, "RANGE") || !g.v.AtLeast(5, 6) {
		return lines
	}
	other := tableName{n.schema, fmt.Sprintf("exchange%d", g.number())}
	lines = append(lines, line{fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, v VARCHAR(30), w DECIMAL(8,2))", g.of(other)), ddl},
		line{"INSERT INTO " + g.of(n) + " VALUES (1,'one',1.5),(2,NULL,2),(2000,'far',0)", dml},
		line{"INSERT INTO " + g.of(other) + " VALUES (501,'other',-1),(502,'中',99.99)", dml})
	if g.one(2) {
		lines = append(lines, line{fmt.Sprintf("ALTER TABLE %s EXCHANGE PARTITION p0 WITH TABLE %s", g.of(n), g.of(other)), ddl})
	}
	return lines
}

// change is a statement that changes a table that there is.
func (g *generator) change(now snapshot) []line {
	n := pick(g, now.names())
	t := now[n]
	switch g.IntN(22) {
	case 0:
		return one(pick(g, []string{"TRUNCATE TABLE ", "TRUNCATE "}) + g.of(n))
	case 1:
		return one(pick(g, []string{"DROP TABLE ", "DROP TABLE IF EXISTS "}) + g.of(n))
	case 2:
		return append(one("DROP TABLE "+g.of(n)), one("CREATE TABLE "+g.of(n)+" "+g.body())...)
	case 3:
		return one("DROP TABLE IF EXISTS " + g.of(n) + ", " + pick(g, []string{"no_such_table", g.of(pick(g, now.names()))}))
	case 11:
		if !g.one(4) {
			break
		}
		name := backQuote(g.schemas[1])
		return []line{{"DROP DATABASE " + name, ddl}, {"CREATE DATABASE " + name + " CHARACTER SET utf8mb4", ddl}}
	case 4, 5:
		return one(g.words("RENAME␣TABLE␣" + g.of(n) + "␣TO␣" + g.of(g.newTable(now))))
	case 6, 7:
		// The swap of online schema changes.
		other := pick(g, now.names())
		between := g.newTable(now)
		return one(fmt.Sprintf("RENAME TABLE %s TO %s, %s TO %s, %s TO %s", g.of(n), g.of(between), g.of(other), g.of(n), g.of(between), g.of(other)))
	case 8:
		return one("ALTER TABLE " + g.of(n) + pick(g, []string{" RENAME TO ", " RENAME ", " RENAME AS "}) + g.of(g.newTable(now)))
	case 9:
		return g.aside(n, t)
	case 10:
		return one(pick(g, []string{"CREATE INDEX ", "CREATE UNIQUE INDEX "}) + fmt.Sprintf("ix%d ON %s (%s)", g.number(), g.of(n), g.indexed(pick(g, t.columns))))
	}
	if g.one(6) {
		return one("ALTER TABLE " + g.of(n) + " " + g.chain(t))
	}
	clauses := make([]string, 1+g.IntN(pick(g, []int{1, 1, 3})))
	for i := range clauses {
		clauses[i] = g.clause(t)
	}
	if g.one(25) {
		clauses[0] = "/*!50000 " + clauses[0] + " */"
	}
	if g.one(25) {
		clauses = append(clauses, "RENAME TO "+g.of(g.newTable(now)))
	}
	verb := pick(g, []string{"ALTER␣TABLE␣", "ALTER␣TABLE␣", "/* first */ ALTER␣TABLE␣"})
	return one(g.words(verb) + g.of(n) + " " + strings.Join(clauses, pick(g, []string{", ", ",", " ,\n"})))
}

// indexed is a column as an index has it.
func (g *generator) indexed(c column) string {
	if strings.Contains(c.dataType, "text") || strings.Contains(c.dataType, "blob") {
		return g.quote(c.name) + "(7)"
	}
	return g.quote(c.name)
}

// aside is a statement that Canal need not tell of, in whose middle a table stands.
func (g *generator) aside(n tableName, t *table) []line {
	view := tableName{g.schemas[0], fmt.Sprintf("view%d", g.number())}
	procedure := tableName{g.schemas[0], fmt.Sprintf("proc%d", g.number())}
	switch g.IntN(4) {
	case 0:
		return []line{{"CREATE VIEW " + g.of(view) + " AS SELECT * FROM " + g.of(n), quiet}, {"DROP VIEW " + g.of(view), quiet}}
	case 1:
		return []line{{"CREATE PROCEDURE " + g.of(procedure) + "() BEGIN DROP TABLE IF EXISTS nothing_there; ALTER TABLE nothing_there ADD x INT; END", quiet}, {"DROP PROCEDURE " + g.of(procedure), quiet}}
	case 2:
		return []line{{"ANALYZE TABLE " + g.of(n), quiet}, {"OPTIMIZE TABLE " + g.of(n), quiet}}
	default:
		return []line{{"CREATE TRIGGER " + g.of(tableName{n.schema, fmt.Sprintf("trigger%d", g.number())}) + " BEFORE INSERT ON " + g.of(n) + " FOR EACH ROW SET @n = " + fmt.Sprint(len(t.columns)), quiet}}
	}
}

// place says where a column goes.
func (g *generator) place(t *table) string {
	switch g.IntN(4) {
	case 0:
		return " FIRST"
	case 1:
		return " AFTER " + g.quote(pick(g, t.columns).name)
	}
	return ""
}

// chain is an ALTER TABLE whose parts build on each other.
func (g *generator) chain(t *table) string {
	var names []string
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	first := g.name(names)
	a, b := pick(g, t.columns), pick(g, t.columns)
	switch g.IntN(6) {
	case 0:
		return fmt.Sprintf("ADD COLUMN %s %s, ADD %s INT AFTER %s", g.quote(first), g.definition(nil), g.quote(g.name(append(names, first))), g.quote(first))
	case 1:
		return fmt.Sprintf("DROP COLUMN %s, ADD COLUMN %s %s FIRST", g.quote(a.name), g.quote(a.name), g.definition(nil))
	case 2:
		return fmt.Sprintf("CHANGE %s %s %s, CHANGE %s %s %s", g.quote(a.name), g.quote(b.name), g.definition(nil), g.quote(b.name), g.quote(a.name), g.definition(nil))
	case 3:
		return fmt.Sprintf("ADD COLUMN %s %s FIRST, MODIFY %s %s AFTER %s", g.quote(first), g.definition(nil), g.quote(a.name), a.columnType, g.quote(first))
	case 4:
		return fmt.Sprintf("DROP %s, ADD INDEX ix%d (%s), ADD %s BIGINT AFTER %s", g.quote(a.name), g.number(), g.indexed(b), g.quote(first), g.quote(b.name))
	default:
		return fmt.Sprintf("ADD %s INT NOT NULL FIRST, DROP PRIMARY KEY, ADD PRIMARY KEY (%s, %s)", g.quote(first), g.indexed(a), g.quote(first))
	}
}

// clause is one part of an ALTER TABLE.
func (g *generator) clause(t *table) string {
	var names []string
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	c := pick(g, t.columns)
	name := g.quote(c.name)
	word := pick(g, []string{"COLUMN ", "", "COLUMN "})
	mariadb := !g.v.MySQL() && g.v.AtLeast(10, 1)
	switch g.IntN(20) {
	case 0, 1, 2, 3:
		return "ADD " + word + g.quote(g.name(names)) + " " + g.definition(t.columns) + g.place(t)
	case 4:
		first := g.name(names)
		return "ADD " + word + "(" + g.quote(first) + " " + g.definition(nil) + ", " + g.quote(g.name(append(names, first))) + " " + g.definition(nil) + ")"
	case 5, 6:
		if mariadb && g.one(3) {
			return "DROP COLUMN IF EXISTS " + name
		}
		return "DROP " + word + name
	case 7, 8:
		return "MODIFY " + word + name + " " + g.definition(nil) + g.place(t)
	case 9, 10:
		return "CHANGE " + word + name + " " + g.quote(g.name(names)) + " " + g.definition(nil) + g.place(t)
	case 11, 12:
		if g.v.MySQL() && !g.v.AtLeast(8, 0) || !g.v.MySQL() && !g.v.AtLeast(10, 5) {
			return "CHANGE " + name + " " + g.quote(g.name(names)) + " " + c.columnType
		}
		return "RENAME COLUMN " + name + " TO " + g.quote(g.name(names))
	case 13:
		if keyOf(t.columns) != "" {
			return pick(g, []string{"DROP PRIMARY KEY", "DROP PRIMARY KEY, ADD PRIMARY KEY (" + g.indexed(c) + ")"})
		}
		return "ADD PRIMARY KEY (" + g.indexed(c) + ")"
	case 14:
		return "MODIFY " + name + " " + c.columnType + g.place(t)
	case 15:
		return pick(g, []string{"CONVERT TO CHARACTER SET utf8mb4", "ENGINE=InnoDB", "COMMENT='DROP COLUMN a, ('", "FORCE", "DEFAULT CHARACTER SET latin1", "AUTO_INCREMENT=5000"})
	case 16:
		return fmt.Sprintf("ADD INDEX ix%d (%s)", g.number(), g.indexed(c))
	case 17:
		if mariadb {
			return pick(g, []string{"ADD COLUMN IF NOT EXISTS " + name + " INT", "ADD COLUMN IF NOT EXISTS " + g.quote(g.name(names)) + " INT", "MODIFY COLUMN IF EXISTS nothing INT"})
		}
		return "ALTER " + word + name + " DROP DEFAULT"
	case 18:
		return fmt.Sprintf("ADD UNIQUE KEY ux%d (%s)", g.number(), g.indexed(c))
	default:
		return "ADD " + word + g.quote(g.name(names)) + " INT DEFAULT 7" + g.place(t)
	}
}
