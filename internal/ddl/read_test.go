package ddl_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/canald/canald/internal/ddl"
	"github.com/canald/canald/internal/schema"
)

// catalog knows the tables in it. All others are absent when it is complete.
type catalog struct {
	tables   map[schema.Name]*schema.Table
	complete bool
}

func (c *catalog) Table(n schema.Name) (*schema.Table, bool) {
	t, ok := c.tables[n]
	return t, ok || c.complete
}

func (c *catalog) Tables(s string) []schema.Name {
	var names []schema.Name
	for n, t := range c.tables {
		if n.Schema == s && t != nil {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b schema.Name) int { return strings.Compare(a.Table, b.Table) })
	return names
}

// newCatalog makes a catalog of lines "d.t: name type, name type key, …".
func newCatalog(complete bool, lines ...string) *catalog {
	c := &catalog{tables: map[schema.Name]*schema.Table{}, complete: complete}
	for _, line := range lines {
		n, columns, _ := strings.Cut(line, ": ")
		s, table, _ := strings.Cut(n, ".")
		t := &schema.Table{Schema: s, Name: table}
		for column := range strings.SplitSeq(columns, ", ") {
			name, typ, _ := strings.Cut(column, " ")
			typ, key := strings.CutSuffix(typ, " key")
			t.Columns = append(t.Columns, schema.Column{Name: name, Type: typ, Unsigned: schema.Unsigned(typ), Key: key})
		}
		c.tables[schema.Name{Schema: s, Table: table}] = t
	}
	return c
}

func describe(t *schema.Table) string {
	columns := make([]string, 0, len(t.Columns))
	for _, c := range t.All() {
		s := c.Name + " " + c.Type
		if c.Unsigned && !schema.Unsigned(c.Type) {
			s += " (unsigned)"
		}
		if c.Key {
			s += " key"
		}
		columns = append(columns, s)
	}
	return strings.Join(columns, ", ")
}

// changed writes changes as "d.t: name type, …", "d.t dropped" or "d.t unknown".
func changed(changes []ddl.Change) []string {
	var lines []string
	for _, ch := range changes {
		n := ch.Name.Schema + "." + ch.Name.Table
		switch {
		case ch.Unknown && ch.After != nil:
			lines = append(lines, n+" unknown and known")
		case ch.Unknown:
			lines = append(lines, n+" unknown")
		case ch.After == nil:
			lines = append(lines, n+" dropped")
		case ch.After.Schema+"."+ch.After.Name != n:
			lines = append(lines, n+" is called "+ch.After.Name)
		default:
			lines = append(lines, n+": "+describe(ch.After))
		}
	}
	return lines
}

// run reads a statement and applies it.
func run(sql string, m ddl.Mode, c *catalog) []string {
	s, err := ddl.Read([]byte(sql), m)
	switch {
	case err != nil:
		return []string{"error"}
	case s == nil:
		return nil
	}
	return changed(s.Apply(c))
}

func TestCreateTable(t *testing.T) {
	mysql, maria := ddl.Mode{Schema: "d"}, ddl.Mode{Schema: "d", MariaDB: true}
	for _, c := range []struct {
		sql  string
		mode ddl.Mode
		want string
	}{
		{"CREATE TABLE t (id INT PRIMARY KEY, a INT)", mysql, "id INT key, a INT"},
		{"CREATE TABLE composite (a INT, b VARCHAR(10), c INT, PRIMARY KEY (b,a))", mysql, "a INT key, b VARCHAR(10) key, c INT"},
		{"CREATE TABLE uniq (a INT NOT NULL, b INT, UNIQUE KEY ua (a))", mysql, "a INT, b INT"},
		{"CREATE TABLE t (a INT UNIQUE KEY, b INT KEY, c INT UNIQUE)", mysql, "a INT, b INT key, c INT"},
		{"CREATE TABLE t (a INT UNIQUE PRIMARY KEY)", mysql, "a INT key"},
		{"CREATE TABLE t (a INT, CONSTRAINT pk PRIMARY KEY USING BTREE (A(10) DESC) COMMENT 'x')", mysql, "a INT key"},
		{"CREATE TABLE t (a INT, b INT, PRIMARY KEY pk (`b`, a ASC) USING HASH)", mysql, "a INT key, b INT key"},
		{
			"CREATE TABLE `x y` (`Order` INT PRIMARY KEY, `select` INT, `a.b` INT, `quo``te` INT, `列` VARCHAR(9))", mysql,
			"Order INT key, select INT, a.b INT, quo`te INT, 列 VARCHAR(9)",
		},
		{"CREATE TABLE 表 (主键 INT PRIMARY KEY, v INT COMMENT 'a comment; with ''quotes''')", mysql, "主键 INT key, v INT"},
		{"CREATE TABLE t (a INT PRIMARY KEY, b INT AS (a*2) VIRTUAL, c INT GENERATED ALWAYS AS (a+1) STORED NOT NULL, d INT)", mysql, "a INT key, b INT, c INT, d INT"},
		{
			"CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT DEFAULT 5, s VARCHAR(9) DEFAULT 'dflt', t TIMESTAMP DEFAULT '2020-01-01 00:00:00')", mysql,
			"id INT key, n INT, s VARCHAR(9), t TIMESTAMP",
		},
		{
			"CREATE TABLE t (a TINYINT, au TINYINT UNSIGNED, az TINYINT(3) ZEROFILL, dz INT(8) UNSIGNED ZEROFILL, zu int(5)zerofill unsigned, f BOOL, g TINYINT(1), s INT SIGNED)", mysql,
			"a TINYINT, au TINYINT unsigned, az TINYINT(3) unsigned zerofill, dz INT(8) unsigned zerofill, zu int(5) unsigned zerofill, f BOOL, g TINYINT(1), s INT",
		},
		{
			"CREATE TABLE t (a DECIMAL( 10 , 2 ), e NUMERIC(38,18), g DEC(5,2), f FLOAT(7,3), h FLOAT(25), i float(24), j FLOAT(53) UNSIGNED, d DOUBLE PRECISION, k DOUBLE PRECISION(5,2) UNSIGNED, r REAL)", mysql,
			"a DECIMAL(10,2), e NUMERIC(38,18), g DEC(5,2), f FLOAT(7,3), h double(25), i float(24), j double(53) unsigned, d DOUBLE PRECISION, k DOUBLE PRECISION(5,2) unsigned, r REAL",
		},
		{
			"CREATE TABLE t (a INTEGER, b TEXT(100), c LONG, d nvarchar(3), e SERIAL, f TIMESTAMP(3), g char(3) character set binary, h VARCHAR(3) CHARSET latin1 COLLATE latin1_bin NOT NULL)", mysql,
			"a INTEGER, b TEXT(100), c LONG, d nvarchar(3), e SERIAL (unsigned), f TIMESTAMP(3), g binary(3), h VARCHAR(3)",
		},
		{
			"CREATE TABLE t (a CHAR VARYING(3), b CHARACTER VARYING (4), c NATIONAL CHAR(5), d NATIONAL VARCHAR(6), e NCHAR(7), f NCHAR VARCHAR(8), g NATIONAL CHARACTER VARYING(9), h LONG VARCHAR, i LONG VARBINARY, j VARCHARACTER(2))", mysql,
			"a CHAR VARYING(3), b CHARACTER VARYING(4), c NATIONAL CHAR(5), d NATIONAL VARCHAR(6), e NCHAR(7), f NCHAR VARCHAR(8), g NATIONAL CHARACTER VARYING(9), h LONG VARCHAR, i LONG VARBINARY, j VARCHARACTER(2)",
		},
		{
			"CREATE TABLE t (a CHAR(3) BYTE, b VARCHAR(3) BYTE, c MEDIUMTEXT BYTE, d CHAR(3) ASCII, e CHAR(3) UNICODE, f CHAR(3) BINARY)", mysql,
			"a binary(3), b varbinary(3), c MEDIUMblob, d CHAR(3), e CHAR(3), f CHAR(3)",
		},
		{
			"CREATE TABLE t (e ENUM('small', 'mid,dle','la''rge') , s SET('a','b)','c','d') CHARACTER SET binary, f ENUM(\"it's\", \"a\"\"b\", 'b\\'c', 'd\\\\e') DEFAULT 'x')", mysql,
			`e ENUM('small','mid,dle','la''rge'), s SET('a','b)','c','d'), f ENUM('it''s','a"b','b''c','d\\e')`,
		},
		{"CREATE TABLE t (`a``b` ENUM('a,b','c)d','e''f') COMMENT 'x, y ) z', b INT)", mysql, "a`b ENUM('a,b','c)d','e''f'), b INT"},
		{
			"CREATE TABLE t (a INT DEFAULT (1+(2*3)), b VARCHAR(99) DEFAULT (concat('a)',\"b(\")), c INT CHECK (c > 0), d INT REFERENCES o (i) ON DELETE SET NULL ON UPDATE CASCADE, e INT REFERENCES o (i) ON DELETE SET DEFAULT, f INT)", mysql,
			"a INT, b VARCHAR(99), c INT, d INT, e INT, f INT",
		},
		{
			"CREATE TABLE t (a INT DEFAULT -1 KEY, b DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), c BIT(3) DEFAULT b'101' COMMENT 'key', d INT)", mysql,
			"a INT key, b DATETIME(6), c BIT(3), d INT",
		},
		{"CREATE TABLE t (a VARCHAR(9) COMMENT 'it''s, a \"b\"', b VARCHAR(9) DEFAULT 'it\\'s, (', c INT)", mysql, "a VARCHAR(9), b VARCHAR(9), c INT"},
		{"CREATE TABLE t (a INT, /* b INT, */ c INT -- d INT,\n, # e INT\n f INT /* ) */)", mysql, "a INT, c INT, f INT"},
		{
			"CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), INDEX ((UPPER(v))), c INT CHECK (c>0), FULLTEXT KEY f (v), SPATIAL INDEX (g), CONSTRAINT CHECK (id > (c)), CHECK (id>1) NOT ENFORCED, FOREIGN KEY fk (c) REFERENCES o (i), z INT)", mysql,
			"id INT key, v VARCHAR(20), c INT, z INT",
		},
		{
			"CREATE TABLE t (a INT /*!80023 INVISIBLE */, b INT INVISIBLE, `my_row_id` bigint unsigned NOT NULL AUTO_INCREMENT /*!80023 INVISIBLE */, PRIMARY KEY (`my_row_id`))", mysql,
			"a INT, b INT, my_row_id bigint unsigned key",
		},
		{"CREATE TABLE t (a INT /*!50000 UNSIGNED */ /*! NOT NULL */, p POINT NOT NULL /*!80003 SRID 4326 */, b INT /*!99999 UNSIGNED */)", mysql, "a INT unsigned, p POINT, b INT"},
		{"CREATE TABLE t (a INT /*M! UNSIGNED */)", mysql, "a INT"},
		{"CREATE TABLE t (a INT /*M! UNSIGNED */, b INT /*M!100301 UNSIGNED*/, c INT /*!50701 UNSIGNED */, d INT /*!50600 UNSIGNED */)", maria, "a INT unsigned, b INT unsigned, c INT, d INT unsigned"},
		{"CREATE TABLE `cs` (\n  `id` int NOT NULL,\n  `cc` text\n) START TRANSACTION", mysql, "id int, cc text"},
		{"CREATE TABLE p (id INT, d DATE, PRIMARY KEY(id,d)) ENGINE=InnoDB COMMENT='as select' PARTITION BY RANGE (YEAR(d)) (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN MAXVALUE)", mysql, "id INT key, d DATE key"},
		{"CREATE TABLE t (a INT) ENGINE=InnoDB, UNION=(x,y), DEFAULT CHARSET=utf8mb4 NEW_OPTION=5 SECONDARY_ENGINE=NULL", mysql, "a INT"},
		{"CREATE TABLE def.d.t (a INT)", mysql, "a INT"},
		{"CREATE OR REPLACE TABLE orr (id INT PRIMARY KEY, w TEXT)", maria, "id INT key, w TEXT"},
		{"CREATE TABLE sv (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING", maria, "id INT key, v INT, row_start timestamp(6), row_end timestamp(6)"},
		{
			"CREATE TABLE sv (a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME(s,e)) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME (PARTITION p HISTORY, PARTITION c CURRENT)", maria,
			"a INT, s TIMESTAMP(6), e TIMESTAMP(6)",
		},
		{"CREATE TABLE p (id INT, s DATE, e DATE, PERIOD FOR p(s,e), PRIMARY KEY (id, p WITHOUT OVERLAPS))", maria, "unknown"},
		{"CREATE TABLE t (period INT, vector INT, `primary` INT, system INT)", maria, "period INT, vector INT, primary INT, system INT"},
		{"CREATE TABLE cc (id INT PRIMARY KEY, t TEXT COMPRESSED, v VARCHAR(2000) COMPRESSED=zlib DEFAULT '')", maria, "id INT key, t TEXT, v VARCHAR(2000)"},
		{"CREATE TABLE usesq (id INT DEFAULT NEXTVAL(sq) PRIMARY KEY, v INT DEFAULT NEXT VALUE FOR d.sq, w INT DEFAULT (NEXT VALUE FOR sq) PRIMARY KEY)", maria, "id INT key, v INT, w INT key"},
		{"CREATE TABLE ty (i6 INET6, i4 INET4, u UUID, j JSON, d mariadb_schema.date)", maria, "i6 INET6, i4 INET4, u UUID, j JSON, d date"},
		{"SET STATEMENT max_statement_time=0, sort_buffer_size=5 FOR CREATE TABLE t (a INT)", maria, "a INT"},
		{`CREATE TABLE "t" ("a""b" INT, b VARCHAR(9) DEFAULT 'c:\', PRIMARY KEY ("a""b"))`, ddl.Mode{Schema: "d", ANSIQuotes: true, NoBackslashEscapes: true}, `a"b INT key, b VARCHAR(9)`},
		{"CREATE TABLE T (A INT)", ddl.Mode{Schema: "D", LowerNames: true}, "A INT"},
		{"CREATE TABLE t (a INT) SELECT 1 AS b", mysql, "unknown"},
		{"CREATE TABLE t (a INT) ENGINE=InnoDB AS (SELECT 1 AS b)", mysql, "unknown"},
		{"CREATE TABLE t AS WITH x AS (SELECT 1) SELECT * FROM x", mysql, "unknown"},
		{"CREATE TABLE t (SELECT 1)", mysql, "unknown"},
		{"CREATE TABLE t IGNORE SELECT 1", mysql, "unknown"},
		{"CREATE TABLE t TABLE u", mysql, "unknown"},
		{"CREATE TABLE t ENGINE=CONNECT TABLE_TYPE=CSV FILE_NAME='x'", maria, "unknown"},
		{"CREATE TABLE t LIKE u", mysql, "unknown"},
		{"CREATE TABLE t (a INT, PRIMARY KEY (nosuch))", mysql, "unknown"},
		{"CREATE TABLE t (a INT, b", mysql, "unknown"},
		{"CREATE TABLE t (a INT, b 'x')", mysql, "unknown"},
	} {
		got := run(c.sql, c.mode, newCatalog(true))
		want := " " + c.want
		if c.want != "unknown" {
			want = ":" + want
		}
		if len(got) != 1 || !strings.HasSuffix(got[0], want) || !strings.HasPrefix(got[0], "d.") {
			t.Errorf("%s\n got  %q\n want %q", c.sql, got, c.want)
		}
	}
}

func TestStatements(t *testing.T) {
	const (
		tt = "d.t: id int key, a int, b varchar(10)"
		u  = "d.u: x int"
		n  = "d.n: n text, m varchar(20)"
		l  = "d.l: n longtext, m varchar(16383)"
		g  = "d.g: my_row_id bigint unsigned key, a int"
		o  = "e.o: y int key"
	)
	for _, c := range []struct {
		sql  string
		want []string
	}{
		// The golden history.
		{"ALTER TABLE t ADD COLUMN c VARCHAR(10) DEFAULT 'x' AFTER id", []string{"d.t: id int key, c VARCHAR(10), a int, b varchar(10)"}},
		{"ALTER TABLE t ADD COLUMN f INT FIRST, DROP COLUMN a, ADD INDEX ib (b)", []string{"d.t: f INT, id int key, b varchar(10)"}},
		{"ALTER TABLE t DROP INDEX ib, CHANGE b bb TEXT, MODIFY a BIGINT UNSIGNED", []string{"d.t: id int key, a BIGINT unsigned, bb TEXT"}},
		{"ALTER TABLE t RENAME COLUMN b TO cc", []string{"d.t: id int key, a int, cc varchar(10)"}},
		{"ALTER TABLE t RENAME TO t2", []string{"d.t dropped", "d.t2: id int key, a int, b varchar(10)"}},
		{"ALTER TABLE t RENAME e.t2", []string{"d.t dropped", "e.t2: id int key, a int, b varchar(10)"}},
		{"RENAME TABLE t TO t3, t3 TO t4", []string{"d.t dropped", "d.t4: id int key, a int, b varchar(10)"}},
		{"RENAME TABLE t TO tmp_swap, u TO t, tmp_swap TO u", []string{"d.t: x int", "d.u: id int key, a int, b varchar(10)"}},
		{"RENAME TABLE e.o TO moved", []string{"e.o dropped", "d.moved: y int key"}},
		{"RENAME TABLES t TO q", []string{"d.t dropped", "d.q: id int key, a int, b varchar(10)"}},
		{"RENAME TABLE t TO q, q TO t", nil},
		{"CREATE TABLE lk LIKE t", []string{"d.lk: id int key, a int, b varchar(10)"}},
		{"CREATE TABLE lk (LIKE e.o)", []string{"d.lk: y int key"}},
		{"DROP TABLE IF EXISTS `t`,`u`,`nosuch` /* generated by server */", []string{"d.t dropped", "d.u dropped"}},
		{"DROP TABLE t RESTRICT", []string{"d.t dropped"}},
		{"DROP TABLE t WAIT 5", []string{"d.t dropped"}},
		{"/* a comment */ ALTER /* inner */ TABLE d.t /* c2 */ ADD z INT -- tail\n", []string{"d.t: id int key, a int, b varchar(10), z INT"}},
		{"ALTER TABLE def.d.t ADD z INT", []string{"d.t: id int key, a int, b varchar(10), z INT"}},
		{
			"ALTER TABLE t ADD COLUMN (m1 INT, m2 VARCHAR(5) DEFAULT 'x'), ADD UNIQUE KEY um (m1), ADD CONSTRAINT ck CHECK (m1 > 0)",
			[]string{"d.t: id int key, a int, b varchar(10), m1 INT, m2 VARCHAR(5)"},
		},
		{
			"ALTER TABLE t DROP CONSTRAINT ck, DROP KEY um, MODIFY b VARCHAR(50) FIRST, ADD COLUMN last1 JSON AFTER id",
			[]string{"d.t: b VARCHAR(50), id int key, last1 JSON, a int"},
		},
		{"ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, a), MODIFY a INT NOT NULL DEFAULT 0", []string{"d.t: id int key, a INT key, b varchar(10)"}},
		{
			"ALTER TABLE t ADD COLUMN `we``ird, na(me` ENUM('a,b','c)d','e''f') COMMENT 'x, y ) z' AFTER id, ADD FULLTEXT KEY ft (b) /* , DROP COLUMN a */",
			[]string{"d.t: id int key, we`ird, na(me ENUM('a,b','c)d','e''f'), a int, b varchar(10)"},
		},
		// What is right, and Canal has wrong.
		{"CREATE TABLE IF NOT EXISTS t (x INT)", nil},
		{"CREATE TABLE /*!32312 IF NOT EXISTS*/ t (x INT)", nil},
		{"CREATE TABLE IF NOT EXISTS fresh (x INT)", []string{"d.fresh: x INT"}},
		{"CREATE TEMPORARY TABLE t (x INT)", nil},
		{"CREATE OR REPLACE TEMPORARY TABLE t (x INT)", nil},
		{"DROP TEMPORARY TABLE IF EXISTS t", nil},
		{"DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `t`", nil},
		{"DROP DATABASE d", []string{"d.g dropped", "d.l dropped", "d.n dropped", "d.t dropped", "d.u dropped"}},
		{"DROP SCHEMA IF EXISTS `e`", []string{"e.o dropped"}},
		{"CREATE OR REPLACE DATABASE e", []string{"e.o dropped"}},
		{"CREATE DATABASE e", nil},
		{"ALTER TABLE t RENAME TO q, ADD z INT", []string{"d.t dropped", "d.q: id int key, a int, b varchar(10), z INT"}},
		{"ALTER TABLE t MODIFY id BIGINT NOT NULL", []string{"d.t: id BIGINT key, a int, b varchar(10)"}},
		{"ALTER TABLE t CHANGE id key2 BIGINT NOT NULL FIRST", []string{"d.t: key2 BIGINT key, a int, b varchar(10)"}},
		{"rename table t to rn_begin", []string{"d.t dropped", "d.rn_begin: id int key, a int, b varchar(10)"}},
		// Places.
		{"ALTER TABLE t ADD x INT AFTER id, ADD y INT AFTER x, ADD z INT FIRST", []string{"d.t: z INT, id int key, x INT, y INT, a int, b varchar(10)"}},
		{"ALTER TABLE t ADD x INT FIRST, ADD y INT FIRST", []string{"d.t: y INT, x INT, id int key, a int, b varchar(10)"}},
		{"ALTER TABLE t MODIFY id int AFTER b, ADD x INT AFTER id", []string{"d.t: a int, b varchar(10), id int key, x INT"}},
		{"ALTER TABLE t ADD x INT AFTER a, MODIFY a int FIRST", []string{"d.t: a int, id int key, x INT, b varchar(10)"}},
		{"ALTER TABLE t CHANGE a z int, ADD x INT AFTER z", []string{"d.t: id int key, z int, x INT, b varchar(10)"}},
		{"ALTER TABLE t RENAME COLUMN a TO z, ADD x INT AFTER z", []string{"d.t: id int key, z int, x INT, b varchar(10)"}},
		{"ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a", []string{"d.t: id int key, b int, a varchar(10)"}},
		{"ALTER TABLE t CHANGE a b int, CHANGE b a varchar(10)", []string{"d.t: id int key, b int, a varchar(10)"}},
		{"ALTER TABLE t DROP a, ADD a TEXT", []string{"d.t: id int key, b varchar(10), a TEXT"}},
		{"ALTER TABLE t ADD a TEXT FIRST, DROP a", []string{"d.t: a TEXT, id int key, b varchar(10)"}},
		{"ALTER TABLE t DROP a, ADD a TEXT AFTER id, ADD c INT AFTER a", []string{"d.t: id int key, a TEXT, c INT, b varchar(10)"}},
		{"ALTER TABLE t CHANGE COLUMN a c int AFTER b, ADD a TEXT", []string{"d.t: id int key, b varchar(10), c int, a TEXT"}},
		{"ALTER TABLE t MODIFY COLUMN A int unsigned", []string{"d.t: id int key, A int unsigned, b varchar(10)"}},
		{"ALTER TABLE t ADD first INT, ADD COLUMN after INT AFTER first", []string{"d.t: id int key, a int, b varchar(10), first INT, after INT"}},
		{"ALTER TABLE t ADD c INT NOT NULL DEFAULT 'first' COMMENT 'after id' FIRST, COMMENT 'x'", []string{"d.t: c INT, id int key, a int, b varchar(10)"}},
		{"ALTER TABLE t ADD c INT PARTITION BY HASH (id) PARTITIONS 4", []string{"d.t: id int key, a int, b varchar(10), c INT"}},
		{"ALTER TABLE t ADD c INT, ALGORITHM=INSTANT, LOCK=DEFAULT", []string{"d.t: id int key, a int, b varchar(10), c INT"}},
		{"ALTER TABLE t ALGORITHM=INPLACE, ADD c INT REFERENCES o (i) ON UPDATE SET NULL AFTER id", []string{"d.t: id int key, c INT, a int, b varchar(10)"}},
		// Keys.
		{"ALTER TABLE t DROP PRIMARY KEY", []string{"d.t: id int, a int, b varchar(10)"}},
		{"ALTER TABLE t DROP INDEX `PRIMARY`", []string{"d.t: id int, a int, b varchar(10)"}},
		{"ALTER TABLE t DROP CONSTRAINT `primary`", []string{"d.t: id int, a int, b varchar(10)"}},
		{"DROP INDEX `PRIMARY` ON t", []string{"d.t: id int, a int, b varchar(10)"}},
		{"ALTER TABLE t DROP COLUMN id, ADD PRIMARY KEY (a, b(5))", []string{"d.t: a int key, b varchar(10) key"}},
		{"ALTER TABLE u ADD PRIMARY KEY (x)", []string{"d.u: x int key"}},
		{"ALTER TABLE u ADD CONSTRAINT c PRIMARY KEY USING BTREE (X)", []string{"d.u: x int key"}},
		{"ALTER TABLE u ADD i INT AUTO_INCREMENT PRIMARY KEY FIRST", []string{"d.u: i INT key, x int"}},
		{"ALTER TABLE u ADD (i INT, PRIMARY KEY (i))", []string{"d.u: x int, i INT key"}},
		{"ALTER TABLE u CHANGE x z INT, ADD PRIMARY KEY (z)", []string{"d.u: z INT key"}},
		{"ALTER TABLE u MODIFY x INT UNIQUE", []string{"d.u: x INT"}},
		{"ALTER TABLE t DROP COLUMN id, ADD COLUMN id BIGINT", []string{"d.t: a int, b varchar(10), id BIGINT key"}},
		{"ALTER TABLE t CHANGE id k int, ADD COLUMN id BIGINT FIRST", []string{"d.t: id BIGINT key, k int, a int, b varchar(10)"}},
		{"ALTER TABLE t RENAME COLUMN id TO k, ADD COLUMN id TEXT", []string{"d.t: k int key, a int, b varchar(10), id TEXT"}},
		{"ALTER TABLE t ADD COLUMN IF NOT EXISTS a INT PRIMARY KEY, DROP PRIMARY KEY", []string{"d.t: id int, a int, b varchar(10)"}},
		{"ALTER TABLE t MODIFY COLUMN IF EXISTS a INT PRIMARY KEY", []string{"d.t: id int key, a INT, b varchar(10)"}},
		{"ALTER TABLE u ADD COLUMN IF NOT EXISTS x TEXT PRIMARY KEY", []string{"d.u: x int key"}},
		{"ALTER TABLE l CONVERT TO CHARACTER SET utf8mb4", nil},
		{"ALTER TABLE g ADD c INT AFTER my_row_id", []string{"d.g: my_row_id bigint unsigned key, c INT, a int"}},
		{"ALTER TABLE g ADD c INT FIRST", []string{"d.g unknown"}},
		{"ALTER TABLE g DROP my_row_id, ADD c INT FIRST", []string{"d.g: c INT, a int"}},
		{"ALTER TABLE t DROP a, MODIFY a TEXT", []string{"d.t unknown"}},
		// Without effect.
		{"ALTER TABLE t ADD INDEX (a), ADD FOREIGN KEY (a) REFERENCES o (i), ADD CHECK (a > 0), RENAME INDEX a TO b, ALTER COLUMN a SET DEFAULT 5, ALTER b DROP DEFAULT, ALTER INDEX i INVISIBLE", nil},
		{"ALTER TABLE t ENGINE=MyISAM, COMMENT='x, DROP a' AUTO_INCREMENT=7, FORCE, DISABLE KEYS, DROP FOREIGN KEY f, DROP CHECK c", nil},
		{"ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u", nil},
		{"ALTER TABLE t REORGANIZE PARTITION p0, p1 INTO (PARTITION p VALUES LESS THAN (5))", nil},
		{"ALTER TABLE t ADD PARTITION (PARTITION p VALUES IN (1,2)), DROP a", nil},
		{"ALTER TABLE t ORDER BY a, b", nil},
		{"ALTER TABLE t ADD SYSTEM VERSIONING", []string{"d.t: id int key, a int, b varchar(10), row_start timestamp(6), row_end timestamp(6)"}},
		{"ALTER TABLE t ADD SYSTEM VERSIONING, ADD c INT, DROP b", []string{"d.t: id int key, a int, c INT, row_start timestamp(6), row_end timestamp(6)"}},
		{"ALTER TABLE t DROP SYSTEM VERSIONING", nil},
		{"ALTER TABLE t ADD PERIOD FOR p(a, b)", nil},
		{"ALTER TABLE t CONVERT TO CHARACTER SET latin1", nil},
		{"ALTER TABLE t DEFAULT CHARACTER SET latin1 COLLATE latin1_bin", nil},
		{"ALTER TABLE t", nil},
		{"TRUNCATE TABLE t", nil},
		{"CREATE UNIQUE INDEX i ON t (a)", nil},
		{"DROP INDEX i ON t", nil},
		{"CREATE VIEW t AS SELECT 1", nil},
		{"DROP VIEW t", nil},
		{"INSERT INTO t VALUES ('DROP TABLE t')", nil},
		{"CREATE DEFINER=`a`@`b` PROCEDURE p() DROP TABLE t", nil},
		{"GRANT ALL ON d.t TO x", nil},
		{"SET STATEMENT a=1 FOR INSERT INTO t VALUES (1)", nil},
		{"RENAME USER a TO b", nil},
		{"ALTER DATABASE d CHARACTER SET latin1", nil},
		{"REPAIR TABLE t", nil},
		// MariaDB.
		{"ALTER TABLE t ADD COLUMN IF NOT EXISTS a TEXT, ADD COLUMN IF NOT EXISTS c INT", []string{"d.t: id int key, a int, b varchar(10), c INT"}},
		{"ALTER TABLE t DROP COLUMN IF EXISTS a, DROP COLUMN IF EXISTS nosuch", []string{"d.t: id int key, b varchar(10)"}},
		{"ALTER TABLE t MODIFY COLUMN IF EXISTS nosuch INT FIRST, CHANGE COLUMN IF EXISTS nosuch n2 INT AFTER a, RENAME COLUMN IF EXISTS x TO y", nil},
		{"ALTER TABLE t ADD PRIMARY KEY IF NOT EXISTS (a)", nil},
		{"ALTER TABLE IF EXISTS t WAIT 3 ADD c INT", []string{"d.t: id int key, a int, b varchar(10), c INT"}},
		{"ALTER TABLE IF EXISTS nosuch ADD c INT", nil},
		{"ALTER ONLINE TABLE t ADD c INT", []string{"d.t: id int key, a int, b varchar(10), c INT"}},
		{"ALTER TABLE t CONVERT PARTITION p TO TABLE q", []string{"d.q: id int key, a int, b varchar(10)"}},
		{"ALTER TABLE t CONVERT TABLE u TO PARTITION p VALUES LESS THAN (5)", []string{"d.u dropped"}},
		{"CREATE SEQUENCE sq START 5", []string{"d.sq unknown"}},
		{"CREATE SEQUENCE IF NOT EXISTS u", nil},
		{"DROP SEQUENCE IF EXISTS u", []string{"d.u dropped"}},
		{"ALTER SEQUENCE u RESTART 3", []string{"d.u unknown"}},
		{"RENAME TABLE IF EXISTS t WAIT 5 TO q", []string{"d.t dropped", "d.q: id int key, a int, b varchar(10)"}},
		{"SET STATEMENT a=1, b=2 FOR ALTER TABLE t ADD c INT", []string{"d.t: id int key, a int, b varchar(10), c INT"}},
		// What cannot be told.
		{"ALTER TABLE n CONVERT TO CHARACTER SET binary", []string{"d.n unknown"}},
		{"ALTER TABLE t CONVERT TO CHARACTER SET binary", []string{"d.t unknown"}},
		{"ALTER TABLE t DROP nosuch", []string{"d.t unknown"}},
		{"ALTER TABLE t ADD c INT AFTER nosuch", []string{"d.t unknown"}},
		{"ALTER TABLE t ADD a INT", []string{"d.t unknown"}},
		{"ALTER TABLE t ADD PRIMARY KEY (nosuch)", []string{"d.t unknown"}},
		{"ALTER TABLE t DROP nosuch, RENAME q", []string{"d.t dropped", "d.q unknown"}},
		{"CREATE TABLE t AS SELECT 1", []string{"d.t unknown"}},
		// Not understood.
		{"ALTER TABLE t ADD (a INT", []string{"error"}},
		{"ALTER TABLE t ADD COLUMN", []string{"error"}},
		{"DROP TABLE t, ", []string{"error"}},
		{"DROP TABLE t u", []string{"error"}},
		{"RENAME TABLE t u", []string{"error"}},
		{"CREATE TABLE", []string{"error"}},
		{"ALTER TABLE t ADD c INT COMMENT 'x", []string{"error"}},
		{"ALTER TABLE t ADD c INT /* x", []string{"error"}},
		{"IMPORT TABLE FROM 'x.sdi'", []string{"error"}},
		{"GARBAGE t", []string{"error"}},
	} {
		for _, m := range []ddl.Mode{{Schema: "d", MariaDB: true}, {Schema: "d", NoBackslashEscapes: true}} {
			got := run(c.sql, m, newCatalog(true, tt, u, n, l, g, o))
			if !slices.Equal(got, c.want) {
				t.Errorf("%s\n got  %q\n want %q", c.sql, got, c.want)
			}
		}
	}
}

// A catalog that does not know a table says so, and what is made of it is not known.
func TestUnknownTables(t *testing.T) {
	for _, c := range []struct {
		sql  string
		want []string
	}{
		{"ALTER TABLE t ADD c INT", []string{"d.t unknown"}},
		{"ALTER TABLE t DROP PRIMARY KEY", []string{"d.t unknown"}},
		{"DROP INDEX `PRIMARY` ON t", []string{"d.t unknown"}},
		{"ALTER TABLE t ADD INDEX (c)", nil},
		{"ALTER TABLE t RENAME TO u", []string{"d.t dropped", "d.u unknown"}},
		{"ALTER TABLE IF EXISTS t ADD c INT", []string{"d.t unknown"}},
		{"RENAME TABLE t TO u", []string{"d.t dropped", "d.u unknown"}},
		{"RENAME TABLE t TO x, known TO t, x TO known", []string{"d.t: a int", "d.x dropped", "d.known unknown"}},
		{"DROP TABLE t", []string{"d.t dropped"}},
		{"CREATE TABLE t (a INT)", []string{"d.t: a INT"}},
		{"CREATE TABLE IF NOT EXISTS t (a INT)", []string{"d.t unknown"}},
		{"CREATE TABLE t LIKE u", []string{"d.t unknown"}},
		{"CREATE TABLE IF NOT EXISTS known LIKE u", nil},
	} {
		if got := run(c.sql, ddl.Mode{Schema: "d"}, newCatalog(false, "d.known: a int")); !slices.Equal(got, c.want) {
			t.Errorf("%s\n got  %q\n want %q", c.sql, got, c.want)
		}
	}
}

// The tables of the catalog are never changed.
func TestCatalogIsLeftAlone(t *testing.T) {
	c := newCatalog(true, "d.t: id int key, a int, b int")
	s, err := ddl.Read([]byte("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (a), MODIFY b INT FIRST, DROP id, RENAME COLUMN a TO z"), ddl.Mode{Schema: "d"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.Apply(c)
		if got := describe(c.tables[schema.Name{Schema: "d", Table: "t"}]); got != "id int key, a int, b int" {
			t.Fatal(got)
		}
	}
}

func TestMentions(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"CREATE TABLE a LIKE x.b", "[{d a} {x b}]"},
		{"RENAME TABLE a TO b, x.`c``d` TO e", "[{d a} {d b} {x c`d} {d e}]"},
		{"ALTER TABLE a ADD c INT, RENAME x.b", "[{d a} {x b}]"},
		{"ALTER TABLE a CONVERT PARTITION p TO TABLE b", "[{d a} {d b}]"},
		{"DROP TABLE a, `b`", "[{d a} {d b}]"},
		{"DROP DATABASE `x y`", "[{x y }]"},
		{"DROP INDEX `PRIMARY` ON a", "[{d a}]"},
	} {
		s, err := ddl.Read([]byte(c.sql), ddl.Mode{Schema: "d"})
		if err != nil {
			t.Fatal(c.sql, err)
		}
		if got := fmt.Sprint(s.Mentions()); got != c.want {
			t.Errorf("%s: %s, want %s", c.sql, got, c.want)
		}
	}
	s, err := ddl.Read([]byte("RENAME TABLE A TO X.B"), ddl.Mode{Schema: "D", LowerNames: true})
	if got := fmt.Sprint(s.Mentions(), err); got != "[{d a} {x b}] <nil>" {
		t.Error(got)
	}
}
