package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/canald/canald/internal/ddl"
	"github.com/canald/canald/internal/schema"
	"github.com/canald/canald/test/harness"
)

// ddlStep is a statement and what it needs.
type ddlStep struct {
	sql     string
	only    func(v harness.Version) bool // nil: every version has it
	unknown bool                         // its effect cannot be told from the text
}

func mysql(major, minor int) func(harness.Version) bool {
	return func(v harness.Version) bool { return v.MySQL() && v.AtLeast(major, minor) }
}

// keepsKeys is for those that keep a key whose column is dropped and added.
func keepsKeys(v harness.Version) bool { return v.AtLeast(8, 0) && v != harness.MariaDB102 }

func dropsConstraints(v harness.Version) bool { return v.AtLeast(8, 0) }

// ddlSteps run one after the other, with ddl1 as the default database.
var ddlSteps = []ddlStep{
	{sql: "CREATE TABLE t (id INT PRIMARY KEY, a INT)"},
	{sql: "ALTER TABLE t ADD COLUMN b VARCHAR(10) DEFAULT 'x' AFTER id"},
	{sql: "ALTER TABLE t ADD COLUMN f INT FIRST, DROP COLUMN a, ADD INDEX ib (b)"},
	{sql: "ALTER TABLE t DROP INDEX ib, CHANGE b bb TEXT, MODIFY f BIGINT UNSIGNED"},
	{sql: "ALTER TABLE t RENAME COLUMN bb TO cc", only: func(v harness.Version) bool { return v.AtLeast(8, 0) && v != harness.MariaDB102 }},
	{sql: "ALTER TABLE t ADD x INT AFTER f, ADD y INT AFTER x, ADD z INT FIRST, ADD w INT"},
	{sql: "ALTER TABLE t ADD x2 INT FIRST, ADD y2 INT FIRST"},
	{sql: "ALTER TABLE t MODIFY x INT AFTER y, ADD v INT AFTER x"},
	{sql: "ALTER TABLE t ADD u INT AFTER w"},
	{sql: "ALTER TABLE t ADD u2 INT AFTER y, MODIFY y INT FIRST", only: hasFraction}, // MySQL 5.5 finds no y
	{sql: "ALTER TABLE t CHANGE w w2 INT, ADD w3 INT AFTER w2"},
	{sql: "ALTER TABLE t CHANGE x y INT, CHANGE y x INT"},
	{sql: "ALTER TABLE t DROP u, ADD u TEXT"},
	{sql: "ALTER TABLE t ADD v BLOB FIRST, DROP v"},
	{sql: "ALTER TABLE t DROP v, ADD v TEXT AFTER id, ADD v2 INT AFTER v"},
	{sql: "ALTER TABLE t CHANGE COLUMN x2 x3 INT AFTER z, ADD x2 TEXT"},
	{sql: "ALTER TABLE t RENAME COLUMN z TO y2, RENAME COLUMN y2 TO z", only: mysql(8, 0)},
	{sql: "ALTER TABLE t RENAME COLUMN z TO z1, ADD after_z INT AFTER z1", only: mysql(8, 0)},
	{sql: "ALTER TABLE t ADD COLUMN (m1 INT, m2 VARCHAR(5) DEFAULT 'x'), ADD UNIQUE KEY um (m1), ADD CONSTRAINT ck CHECK (m1 > 0)"},
	{sql: "ALTER TABLE t MODIFY m2 VARCHAR(50) FIRST, ADD COLUMN last1 DATETIME AFTER id, DROP KEY um"},
	{sql: "ALTER TABLE t DROP CONSTRAINT ck", only: dropsConstraints},
	{sql: "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, m1), MODIFY m1 INT NOT NULL DEFAULT 0"},
	{sql: "ALTER TABLE t MODIFY id BIGINT NOT NULL"},
	{sql: "ALTER TABLE t CHANGE id id2 BIGINT NOT NULL FIRST"},
	{sql: "ALTER TABLE t DROP PRIMARY KEY, ADD COLUMN ai INT AUTO_INCREMENT PRIMARY KEY FIRST"},
	{sql: "ALTER TABLE t DROP COLUMN ai"},
	{sql: "ALTER TABLE t ADD PRIMARY KEY (id2, m2(5))"},
	{sql: "ALTER TABLE t DROP INDEX `PRIMARY`"},
	{sql: "ALTER TABLE t ADD CONSTRAINT pk PRIMARY KEY USING BTREE (ID2, m1)"},
	{sql: "ALTER TABLE t DROP COLUMN m1", only: mysql(5, 5)}, // MariaDB lets nobody drop a part of a key
	{sql: "DROP INDEX `PRIMARY` ON t"},
	{sql: "ALTER TABLE t ADD UNIQUE (id2), ADD INDEX (w3), ENGINE=InnoDB, COMMENT='x, DROP COLUMN w3'"},
	{sql: "ALTER TABLE t ALTER COLUMN w3 SET DEFAULT 5, ALTER w2 DROP DEFAULT, ORDER BY w2, w3"},
	{sql: "ALTER TABLE t MODIFY w3 INT UNIQUE COMMENT 'it''s, a \"b\" FIRST'"},
	{sql: "ALTER TABLE t ADD COLUMN `we``ird, na(me` ENUM('a,b','c)d','e''f') COMMENT 'x, y ) z' AFTER m2, ADD KEY kw (w2) /* , DROP COLUMN m2 */"},
	{sql: "ALTER TABLE t MODIFY `WE``IRD, NA(ME` ENUM(\"it's\", 'a\\'b', 'c\"d', 'e\\\\f')"},
	{sql: "ALTER TABLE t RENAME TO t2, ADD after_rename INT"},
	{sql: "ALTER TABLE ddl1.t2 RENAME ddl2.t2"},
	{sql: "ALTER TABLE ddl2.t2 RENAME AS t3"}, // the default database, not ddl2
	{sql: "RENAME TABLE t3 TO t4, t4 TO ddl2.t5, ddl2.t5 TO t"},
	{sql: "CREATE TABLE n (id INT PRIMARY KEY, q INT)"},
	{sql: "RENAME TABLE t TO tmp_swap, n TO t, tmp_swap TO n"},
	{sql: "CREATE TABLE IF NOT EXISTS t (other TEXT)"},
	{sql: "CREATE TABLE lk LIKE n"},
	{sql: "CREATE TABLE lk2 (LIKE ddl1.t)"},
	{sql: "CREATE TEMPORARY TABLE t (tmp INT)"},
	{sql: "ALTER TABLE t ADD COLUMN tmp2 INT"}, // of the temporary table
	{sql: "DROP TEMPORARY TABLE t"},
	{sql: "CREATE TABLE cs AS SELECT id, q FROM t"},
	{sql: "CREATE TABLE cs2 (extra INT PRIMARY KEY AUTO_INCREMENT) AS SELECT id, q FROM t"},
	{sql: "CREATE VIEW vw AS SELECT * FROM t"},
	{sql: "DROP VIEW vw"},
	{sql: "TRUNCATE TABLE t"},
	{sql: "CREATE UNIQUE INDEX iu ON t (q)"},
	{sql: "DROP INDEX iu ON t"},
	{sql: "DROP TABLE IF EXISTS lk, cs, nosuch, ddl2.nosuch"},
	{sql: "CREATE TABLE num (a TINYINT, b TINYINT UNSIGNED, c TINYINT(3) ZEROFILL, d SMALLINT(5) ZEROFILL UNSIGNED, e INTEGER SIGNED, f INT1, g INT2, h INT3, i INT4, j INT8, k MIDDLEINT, l BOOL, m BOOLEAN, n BIGINT(20) UNSIGNED)"},
	{sql: "CREATE TABLE frac (a DECIMAL, b DEC(5), c NUMERIC(38,18), d FIXED(5,2) UNSIGNED, e FLOAT, f FLOAT(24), g FLOAT(25), h FLOAT(7,3), i DOUBLE PRECISION, j DOUBLE (15,4), k REAL, l FLOAT4, m FLOAT8, n FLOAT(53) UNSIGNED)"},
	{sql: "CREATE TABLE str (a CHAR, b CHARACTER(3), c CHAR VARYING(4), d CHARACTER VARYING (5), e VARCHAR(6) CHARACTER SET latin1 COLLATE latin1_bin, f VARCHARACTER(7), g NATIONAL CHAR(8), h NATIONAL VARCHAR(9), i NCHAR(10), j NVARCHAR(11), k NCHAR VARCHAR(12), l NCHAR VARYING(13), m NATIONAL CHARACTER VARYING(14), n CHAR(15) ASCII, o CHAR(16) BINARY)"},
	{sql: "CREATE TABLE txt (a TINYTEXT, b TEXT, c TEXT(50), d MEDIUMTEXT, e LONGTEXT, f LONG, g LONG VARCHAR, h LONG VARBINARY, i BLOB(70000), j BINARY, k VARBINARY(300), l CHAR(3) BYTE, m VARCHAR(3) BYTE, n TEXT BYTE, o TEXT(70000), p TEXT(100))"},
	{sql: "CREATE TABLE ser (a SERIAL, b BIT, c BIT(3), d YEAR, e DATE, f ENUM('small', 'mid,dle','la''rge') NOT NULL, g SET('a','b)','c','d') CHARACTER SET utf8 DEFAULT 'a', h INT)"},
	{sql: "CREATE TABLE ser2 (a INT SERIAL DEFAULT VALUE, b INT, PRIMARY KEY (b, a))"},
	{sql: "CREATE TABLE tim (a TIME(3), b DATETIME(6) NULL DEFAULT NULL, c TIMESTAMP(2) NULL DEFAULT CURRENT_TIMESTAMP(2) ON UPDATE CURRENT_TIMESTAMP(2), d INT)", only: hasFraction},
	{sql: "CREATE TABLE geo (a POINT, b GEOMETRY NOT NULL, c POLYGON, d INT DEFAULT -1 KEY, SPATIAL INDEX (b)) ENGINE=MyISAM"},
	{sql: "CREATE TABLE kk (a INT COMMENT 'key' UNIQUE KEY, b INT KEY, c INT UNIQUE, d INT DEFAULT 5 COMMENT 'PRIMARY KEY')"},
	{sql: "CREATE TABLE ref (a INT, b INT REFERENCES kk (b) ON DELETE SET NULL ON UPDATE CASCADE, c INT, CONSTRAINT fk FOREIGN KEY (c) REFERENCES kk (b) ON DELETE SET NULL, CHECK (a > (1)), INDEX USING BTREE (a), KEY k2 (b) COMMENT 'x', PRIMARY KEY (a DESC))"},
	{sql: "CREATE TABLE `Mixed Case-Name` (`Order` INT PRIMARY KEY, `select` INT, `a.b` INT, `quo``te` INT, `列` VARCHAR(9), 表 INT)"},
	{sql: "CREATE TABLE 表 (主键 INT PRIMARY KEY, v INT COMMENT 'a comment; with ''quotes''')"},
	{sql: "RENAME TABLE 表 TO `表``2`"},
	{sql: "CREATE TABLE first (after INT, `first` INT, comment INT, type INT, engine INT, period INT, algorithm INT, value INT, data INT, visible INT, serial INT, vector INT, encryption INT)"},
	{sql: "ALTER TABLE first ADD first2 INT FIRST, ADD after2 INT AFTER after, ADD COLUMN comment2 INT COMMENT 'after' AFTER first"},
	{sql: "ALTER TABLE first MODIFY type INT FIRST, CHANGE engine comment3 INT AFTER type, DROP COLUMN period, DROP COLUMN data, DROP value RESTRICT"},
	{sql: "CREATE TABLE p (id INT, d DATE, PRIMARY KEY (id, d)) COMMENT='as select' PARTITION BY RANGE (YEAR(d)) (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN MAXVALUE)"},
	{sql: "ALTER TABLE p REORGANIZE PARTITION p0, p1 INTO (PARTITION p3 VALUES LESS THAN (2021), PARTITION p4 VALUES LESS THAN MAXVALUE)"},
	{sql: "ALTER TABLE p DROP PARTITION p3"},
	{sql: "ALTER TABLE p ADD x INT FIRST PARTITION BY HASH (id) PARTITIONS 4"},
	{sql: "ALTER TABLE p ADD y INT REMOVE PARTITIONING"},
	{sql: "CREATE TABLE q (id INT) /*!50100 PARTITION BY HASH (id) PARTITIONS 2 */"},
	{sql: "CREATE TABLE ver (a INT /*!50000 UNSIGNED */, /*!40000 b INT, */ c INT /*!99999 UNSIGNED */ /* d INT */)"},
	{sql: "ALTER TABLE ver CONVERT TO CHARACTER SET latin1"},
	{sql: "ALTER TABLE ver ADD s VARCHAR(20), DEFAULT CHARACTER SET utf8"},
	{sql: "ALTER TABLE ver CONVERT TO CHARACTER SET latin1 COLLATE latin1_bin"},
	{sql: "ALTER TABLE ver ADD x TEXT"},
	{sql: "ALTER TABLE ver CONVERT TO CHARACTER SET binary", unknown: true},
	{sql: "SET SESSION sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES'"},
	{sql: `CREATE TABLE "an""si" ("a""b" INT, b VARCHAR(9) DEFAULT 'c:\', c ENUM('x','y\'), PRIMARY KEY ("a""b"))`},
	{sql: `ALTER TABLE "an""si" ADD "d" VARCHAR(9) DEFAULT '\' AFTER "a""b"`},
	{sql: "SET SESSION sql_mode=''"},
	{sql: "CREATE TABLE kf (id INT PRIMARY KEY, a INT)"},
	{sql: "ALTER TABLE kf DROP COLUMN id, ADD COLUMN id INT NOT NULL COMMENT 'in the key again'", only: keepsKeys},
	{sql: "ALTER TABLE kf CHANGE id k INT NOT NULL, ADD COLUMN id INT NOT NULL FIRST", only: keepsKeys},
	{sql: "ALTER TABLE kf CHANGE id id2 INT NOT NULL, ADD COLUMN id INT NOT NULL", only: keepsKeys},
	{sql: "CREATE TABLE ddl2.x (a INT)"},
	{sql: "CREATE TABLE ddl2.y (a INT)"},
	{sql: "CREATE DATABASE ddl3"},
	{sql: "CREATE TABLE ddl3.z (a INT)"},
	{sql: "CREATE TABLE ddl3.zz (a INT)"},
	{sql: "RENAME TABLE ddl3.z TO moved"},
	{sql: "DROP DATABASE ddl3"},
	{sql: "USE ddl2"},
	{sql: "ALTER TABLE x ADD b INT, RENAME y2"},
	{sql: "ALTER TABLE ddl1.moved RENAME moved2"},
	{sql: "USE ddl1"},

	{sql: "CREATE TABLE gen (a INT PRIMARY KEY, b INT AS (a*2) VIRTUAL, c INT GENERATED ALWAYS AS (a+1) STORED UNIQUE, d INT)", only: mysql(5, 7)},
	{sql: "CREATE TABLE gen (a INT PRIMARY KEY, b INT AS (a*2) VIRTUAL, c INT GENERATED ALWAYS AS (a+1) PERSISTENT UNIQUE, d INT)", only: maria(5, 5)},
	{sql: "ALTER TABLE gen ADD e INT AS (a + b) AFTER c, DROP d", only: func(v harness.Version) bool { return v.AtLeast(5, 7) }},
	{sql: "CREATE TABLE js (id INT, j JSON)", only: func(v harness.Version) bool { return v.AtLeast(5, 7) && v != harness.MariaDB102 }},
	{sql: "CREATE TABLE fx (id INT PRIMARY KEY, v VARCHAR(20), j JSON, INDEX ((UPPER(v))), INDEX ((CAST(j->'$' AS UNSIGNED ARRAY))), c INT CHECK (c>0) NOT ENFORCED, d INT DEFAULT (1+(2)), g POINT NOT NULL SRID 4326, KEY kd (d) INVISIBLE)", only: mysql(8, 0)},
	{sql: "ALTER TABLE fx DROP CHECK fx_chk_1, ADD inv INT INVISIBLE AFTER id, ALTER INDEX kd VISIBLE", only: mysql(8, 0)},
	{sql: "ALTER TABLE fx RENAME INDEX kd TO ke, ALTER COLUMN inv SET VISIBLE, ALGORITHM=INPLACE, LOCK=DEFAULT", only: mysql(8, 0)},
	{sql: "ALTER TABLE fx DROP CONSTRAINT `PRIMARY`", only: mysql(8, 0)},
	{sql: "CREATE TABLE inv (a INT DEFAULT 1 /*!80023 INVISIBLE */, b INT)", only: mysql(8, 0)},
	{sql: "SET SESSION sql_generate_invisible_primary_key=ON", only: mysql(8, 0)},
	{sql: "CREATE TABLE gipk (a INT)", only: mysql(8, 0)},
	{sql: "CREATE TABLE gipk2 LIKE gipk", only: mysql(8, 0)},
	{sql: "CREATE TABLE gipk3 AS SELECT a FROM gipk", only: mysql(8, 0)},
	{sql: "ALTER TABLE gipk ADD b INT AFTER my_row_id", only: mysql(8, 0)},
	{sql: "ALTER TABLE gipk ADD c INT FIRST", only: mysql(8, 0), unknown: true}, // it stays behind my_row_id
	{sql: "SET SESSION sql_generate_invisible_primary_key=OFF", only: mysql(8, 0)},
	{sql: "ALTER TABLE gipk DROP PRIMARY KEY, DROP COLUMN my_row_id", only: mysql(8, 0)},
	{sql: "CREATE TABLE vec (a INT, v VECTOR(3))", only: mysql(9, 0)},
	{sql: "CREATE TABLE ea (a INT COLUMN_FORMAT FIXED STORAGE DISK, b INT) AUTOEXTEND_SIZE=4M SECONDARY_ENGINE=NULL", only: mysql(8, 0)},

	{sql: "CREATE OR REPLACE TABLE orr (id INT PRIMARY KEY, v INT)", only: maria(10, 1)},
	{sql: "CREATE OR REPLACE TABLE orr (id INT PRIMARY KEY, w TEXT)", only: maria(10, 1)},
	{sql: "CREATE OR REPLACE TABLE orr LIKE t", only: maria(10, 1)},
	{sql: "ALTER TABLE orr ADD COLUMN IF NOT EXISTS q TEXT, ADD COLUMN IF NOT EXISTS x INT AFTER id, ADD INDEX IF NOT EXISTS ix (x)", only: maria(10, 1)},
	{sql: "ALTER TABLE orr DROP COLUMN IF EXISTS nosuch, DROP COLUMN IF EXISTS q, MODIFY COLUMN IF EXISTS nosuch INT FIRST, CHANGE COLUMN IF EXISTS nosuch n2 INT AFTER id", only: maria(10, 1)},
	{sql: "ALTER TABLE orr DROP COLUMN x, ADD COLUMN IF NOT EXISTS x TEXT, ADD z INT", only: maria(10, 1)},
	{sql: "ALTER TABLE orr ADD PRIMARY KEY IF NOT EXISTS (z)", only: maria(10, 1)},
	{sql: "ALTER TABLE IF EXISTS orr WAIT 3 ADD y INT INVISIBLE", only: maria(10, 6)},
	{sql: "ALTER TABLE IF EXISTS nosuch ADD y INT", only: maria(10, 6)},
	{sql: "ALTER TABLE orr RENAME COLUMN y TO yy, RENAME COLUMN IF EXISTS nosuch TO other, RENAME COLUMN z TO y", only: maria(10, 6)},
	{sql: "SET STATEMENT max_statement_time=0, sort_buffer_size=100000 FOR ALTER TABLE orr ADD stm INT", only: maria(10, 1)},
	{sql: "CREATE TABLE cc (id INT PRIMARY KEY, t TEXT COMPRESSED, v VARCHAR(2000) COMPRESSED DEFAULT '' COMMENT 'x', i INT /*M! UNSIGNED */, k INT /*!50701 UNSIGNED */)", only: maria(10, 6)},
	{sql: "CREATE SEQUENCE sq START 5", only: maria(10, 6), unknown: true},
	{sql: "CREATE SEQUENCE IF NOT EXISTS sq", only: maria(10, 6)},
	{sql: "CREATE TABLE usesq (id INT DEFAULT NEXTVAL(sq) PRIMARY KEY, v INT DEFAULT (NEXT VALUE FOR ddl1.sq), w INT DEFAULT LASTVAL(sq))", only: maria(10, 6)},
	{sql: "DROP TABLE usesq", only: maria(10, 6)},
	{sql: "RENAME TABLE sq TO sq2", only: maria(10, 6)},
	{sql: "DROP SEQUENCE sq2", only: maria(10, 6)},
	{sql: "CREATE TABLE sv (id INT PRIMARY KEY, v INT WITHOUT SYSTEM VERSIONING) WITH SYSTEM VERSIONING", only: maria(10, 6)},
	{sql: "SET SESSION system_versioning_alter_history=KEEP", only: maria(10, 6)},
	{sql: "ALTER TABLE sv ADD w INT AFTER id", only: maria(10, 6)},
	{sql: "ALTER TABLE sv DROP SYSTEM VERSIONING", only: maria(10, 6)},
	{sql: "ALTER TABLE sv ADD SYSTEM VERSIONING", only: maria(10, 6)},
	{sql: "CREATE TABLE sv2 (a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME(s,e)) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME (PARTITION p HISTORY, PARTITION c CURRENT)", only: maria(10, 6)},
	{sql: "CREATE TABLE per (id INT, s DATE, e DATE, PERIOD FOR p(s,e), UNIQUE (id, p WITHOUT OVERLAPS))", only: maria(10, 6)},
	{sql: "CREATE TABLE per2 (id INT, s DATE, e DATE, PERIOD FOR p(s,e))", only: maria(10, 6)},
	{sql: "ALTER TABLE per2 DROP PERIOD FOR p, ADD INDEX (s) IGNORED", only: maria(10, 6)},
	{sql: "CREATE TABLE ty (i6 INET6, i4 INET4, u UUID, d mariadb_schema.date, e CHAR(3) DEFAULT CONCAT('a)', 'b'), f INT UNIQUE CHECK (f > 1))", only: maria(10, 10)},
	{sql: "CREATE TABLE parts (id INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (5), PARTITION p1 VALUES LESS THAN (10))", only: maria(10, 7)},
	{sql: "ALTER TABLE parts CONVERT PARTITION p1 TO TABLE part1", only: maria(10, 7)},
	{sql: "ALTER TABLE parts CONVERT TABLE part1 TO PARTITION p1 VALUES LESS THAN (10)", only: maria(11, 4)},
	{sql: "CREATE TABLE hash (a TEXT UNIQUE, b VARCHAR(9000) CHARACTER SET utf8mb4, UNIQUE (b) USING HASH)", only: maria(10, 6)},
	{sql: "CREATE OR REPLACE DATABASE ddl2", only: maria(10, 1)},
	{sql: "CREATE DATABASE IF NOT EXISTS ddl2"},

	{sql: "DROP TABLE t, n"},
	{sql: "DROP DATABASE ddl2"},
}

// What is read from the statements in the binlog must be what the server has
// after each of them.
func TestStructuresFollowStatements(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		f := newFollower(t, s)
		ran := 0
		for _, step := range ddlSteps {
			if step.only != nil && !step.only(s.Version) {
				continue
			}
			if _, err := f.conn.Execute(step.sql); err != nil {
				t.Errorf("%s: %v", step.sql, err)
				continue
			}
			ran++
			if unknown := f.follow(step.sql); unknown != step.unknown {
				t.Errorf("%s: unknown %v, want %v", step.sql, unknown, step.unknown)
			}
			f.compare(step.sql)
		}
		if ran < 90 {
			t.Errorf("%d statements", ran)
		}
	})
}

// randomStatements is how many statements are tried.
const randomStatements = 300

// Statements of many clauses in any order: what the server takes must be followed.
func TestStructuresFollowRandomAlters(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		f := newFollower(t, s)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		g := alters{
			Rand:     rand.New(rand.NewPCG(seed, 0)),
			renames:  s.AtLeast(8, 0) && (s.MySQL() || s.AtLeast(10, 6)),
			ifExists: !s.MySQL(),
		}
		f.exec("CREATE TABLE t (c0 INT, c1 INT NOT NULL, c2 VARCHAR(10) NOT NULL, c3 INT NOT NULL PRIMARY KEY)")
		f.follow("CREATE TABLE")
		taken, unknown := 0, 0
		for range randomStatements {
			sql := g.next(f.tables[schema.Name{Schema: "ddl1", Table: "t"}])
			if _, err := f.conn.Execute(sql); err != nil {
				continue // it does not fit
			}
			taken++
			if f.follow(sql) {
				unknown++
			}
			if f.compare(sql); t.Failed() {
				return
			}
		}
		t.Logf("%d statements taken, %d with unknown effect", taken, unknown)
		if taken < randomStatements/10 || unknown > taken/20 {
			t.Errorf("%d statements taken, %d with unknown effect", taken, unknown)
		}
	})
}

// Definitions of columns with all that may stand in them, in any order.
func TestStructuresFollowRandomCreates(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		f := newFollower(t, s)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		types := []string{
			"INT", "int(5) unsigned", "BIGINT UNSIGNED ZEROFILL", "VARCHAR(20)", "varchar ( 30 ) CHARACTER SET latin1 COLLATE latin1_bin",
			"DECIMAL(10 , 2)", "ENUM('a,b', 'c)d') CHARACTER SET latin1", "CHAR(3)", "DATE", "DOUBLE PRECISION", "/* x */ NATIONAL /*! VARCHAR */ (7)", "SET('UNSIGNED','it''s')",
		}
		attributes := []string{
			"NOT NULL", "DEFAULT '1'", "COMMENT 'it''s, a \"b\" (UNSIGNED'", "COMMENT \"KEY\"", "UNIQUE", "UNIQUE KEY", "PRIMARY KEY", "KEY",
			"/* , x INT */", "/*!50001 NOT NULL */", "-- KEY\n", "# PRIMARY KEY\n", "REFERENCES o (i) ON DELETE CASCADE ON UPDATE SET NULL",
		}
		elements := []string{"INDEX (%s)", "UNIQUE KEY `u,(` (%s)", "CONSTRAINT `c)` UNIQUE (%s DESC) COMMENT 'x, y'", "CHECK (%s > ((1)))", "PRIMARY KEY (%s)", "CONSTRAINT PRIMARY KEY pk USING BTREE (%s ASC)"}
		options := []string{"", " ENGINE=InnoDB", " COMMENT 'AS SELECT 1' ENGINE InnoDB, AUTO_INCREMENT=5", " DEFAULT CHARSET=utf8 /*!50100 MAX_ROWS=5 */ -- SELECT"}
		taken := 0
		for i := range randomStatements {
			var parts, names []string
			for c := range 1 + r.IntN(5) {
				names = append(names, "c"+strconv.Itoa(c))
				words := []string{names[c], types[r.IntN(len(types))]}
				for range r.IntN(4) {
					words = append(words, attributes[r.IntN(len(attributes))])
				}
				parts = append(parts, strings.Join(words, " "))
			}
			for range r.IntN(3) {
				element := fmt.Sprintf(elements[r.IntN(len(elements))], names[r.IntN(len(names))])
				parts = slices.Insert(parts, r.IntN(len(parts)+1), element)
			}
			name := "t" + strconv.Itoa(i)
			sql := "CREATE TABLE " + name + " (" + strings.Join(parts, ", ") + ")" + options[r.IntN(len(options))]
			if _, err := f.conn.Execute(sql); err != nil {
				continue // two keys, say
			}
			taken++
			if f.follow(sql) {
				t.Errorf("%s: unknown", sql)
			}
			if f.compare(sql); t.Failed() {
				return
			}
			f.exec("DROP TABLE " + name)
			f.follow("DROP TABLE")
		}
		t.Logf("%d statements taken", taken)
		if taken < randomStatements/10 {
			t.Errorf("%d statements taken", taken)
		}
	})
}

// alters makes ALTERs of a few clauses, of which some fit the table.
type alters struct {
	*rand.Rand
	renames, ifExists bool
}

func (g alters) next(t *schema.Table) string {
	var there, absent []string
	for i := range 10 {
		name := "c" + strconv.Itoa(i)
		if slices.ContainsFunc(t.Columns, func(c schema.Column) bool { return c.Name == name }) {
			there = append(there, name)
		} else {
			absent = append(absent, name)
		}
	}
	pick := func(s ...string) string { return s[g.IntN(len(s))] }
	// Mostly what fits, but also names that another clause makes or takes away.
	old := func() string {
		if len(there) == 0 || g.IntN(5) == 0 {
			return "c" + strconv.Itoa(g.IntN(10))
		}
		return pick(there...)
	}
	fresh := func() string {
		if len(absent) == 0 || g.IntN(4) == 0 {
			return old()
		}
		return pick(absent...)
	}
	def := func() string {
		return pick("INT", "INT NOT NULL", "BIGINT UNSIGNED", "VARCHAR(20) NOT NULL DEFAULT 'a, b'", "INT NOT NULL DEFAULT 0", "TEXT", "INT NOT NULL DEFAULT 0 PRIMARY KEY") +
			pick("", "", " FIRST", " AFTER "+old(), " AFTER "+fresh())
	}
	exists := func(s string) string {
		if g.ifExists && g.IntN(3) == 0 {
			return s
		}
		return ""
	}
	var clauses []string
	for range 1 + g.IntN(5) {
		switch g.IntN(9) {
		case 0, 1:
			clauses = append(clauses, "ADD COLUMN "+exists("IF NOT EXISTS ")+fresh()+" "+def())
		case 2:
			clauses = append(clauses, "DROP COLUMN "+exists("IF EXISTS ")+old())
		case 3:
			clauses = append(clauses, "MODIFY COLUMN "+exists("IF EXISTS ")+old()+" "+def())
		case 4:
			clauses = append(clauses, "CHANGE COLUMN "+exists("IF EXISTS ")+old()+" "+fresh()+" "+def())
		case 5, 6:
			if g.renames {
				clauses = append(clauses, "RENAME COLUMN "+exists("IF EXISTS ")+old()+" TO "+fresh())
			}
		case 7:
			clauses = append(clauses, pick("DROP PRIMARY KEY", "ADD PRIMARY KEY "+exists("IF NOT EXISTS ")+"("+old()+", "+fresh()+")", "ADD INDEX ("+old()+")"))
		case 8:
			clauses = append(clauses, fmt.Sprintf("ADD (%s INT, %s VARCHAR(5))", fresh(), fresh()))
		}
	}
	return "ALTER TABLE t " + strings.Join(clauses, ", ")
}

// follower keeps structures by what stands in the binlog.
type follower struct {
	t      *testing.T
	s      *harness.Server
	conn   *client.Conn
	tables map[schema.Name]*schema.Table
	file   string
	offset string
}

func newFollower(t *testing.T, s *harness.Server) *follower {
	t.Helper()
	conn, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	f := &follower{t: t, s: s, conn: conn, tables: map[schema.Name]*schema.Table{}}
	f.exec("SET NAMES utf8mb4", "SET SESSION sql_mode=''",
		"DROP DATABASE IF EXISTS ddl1", "DROP DATABASE IF EXISTS ddl2", "DROP DATABASE IF EXISTS ddl3",
		"CREATE DATABASE ddl1 CHARACTER SET utf8mb4", "CREATE DATABASE ddl2", "USE ddl1")
	logs := f.query("SHOW BINARY LOGS")
	f.file, f.offset = logs[len(logs)-1][0], logs[len(logs)-1][1]
	return f
}

func (f *follower) exec(sql ...string) {
	f.t.Helper()
	for _, q := range sql {
		if _, err := f.conn.Execute(q); err != nil {
			f.t.Fatalf("%s: %v", q, err)
		}
	}
}

func (f *follower) query(sql string) [][]string {
	f.t.Helper()
	res, err := f.conn.Execute(sql)
	if err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	rows := make([][]string, 0, len(res.Values))
	for _, values := range res.Values {
		row := make([]string, 0, len(values))
		for _, v := range values {
			if n := v.AsUint64(); n != 0 {
				row = append(row, strconv.FormatUint(n, 10))
			} else {
				row = append(row, string(v.AsString()))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// Table and Tables make it a ddl.Catalog that knows everything.
func (f *follower) Table(n schema.Name) (*schema.Table, bool) { return f.tables[n], true }

func (f *follower) Tables(s string) []schema.Name {
	var names []schema.Name
	for n := range f.tables {
		if n.Schema == s {
			names = append(names, n)
		}
	}
	return names
}

// follow applies what was written to the binlog since the last time. It tells
// whether something could not be told from the text; that is asked for.
func (f *follower) follow(step string) (unknown bool) {
	f.t.Helper()
	mode := ddl.Mode{MariaDB: !f.s.MySQL()}
	if m := f.query("SELECT @@SESSION.sql_mode")[0][0]; m != "" {
		mode.ANSIQuotes, mode.NoBackslashEscapes = strings.Contains(m, "ANSI_QUOTES"), strings.Contains(m, "NO_BACKSLASH")
	}
	for _, e := range f.query(fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %s", f.file, f.offset)) {
		f.offset = e[4]
		if e[2] != "Query" {
			continue
		}
		sql := e[5]
		mode.Schema = ""
		if strings.HasPrefix(sql, "use ") {
			mode.Schema, sql, _ = strings.Cut(sql[len("use "):], "; ")
			mode.Schema = mode.Schema[1 : len(mode.Schema)-1]
		}
		statement, err := ddl.Read([]byte(sql), mode)
		if err != nil {
			f.t.Errorf("%s\n logged as %s\n %v", step, sql, err)
			continue
		}
		if statement == nil {
			continue
		}
		mentions := statement.Mentions()
		for _, change := range statement.Apply(f) {
			if !slices.Contains(mentions, change.Name) && !slices.Contains(mentions, schema.Name{Schema: change.Name.Schema}) {
				f.t.Errorf("%s: does not mention %v", sql, change.Name)
			}
			switch {
			case change.Unknown:
				unknown = true
				f.tables[change.Name] = f.actual()[change.Name]
			case change.After == nil:
				delete(f.tables, change.Name)
			default:
				f.tables[change.Name] = change.After
			}
		}
	}
	return unknown
}

// actual reads all structures from the server.
func (f *follower) actual() map[schema.Name]*schema.Table {
	f.t.Helper()
	const where = " WHERE TABLE_SCHEMA IN ('ddl1', 'ddl2', 'ddl3') AND TABLE_NAME != 'vw'"
	keys := map[[3]string]bool{}
	for _, row := range f.query("SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS" + where + " AND INDEX_NAME='PRIMARY'") {
		keys[[3]string(row)] = true
	}
	tables := map[schema.Name]*schema.Table{}
	for _, row := range f.query("SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS" + where + " ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION") {
		n := schema.Name{Schema: row[0], Table: row[1]}
		if tables[n] == nil {
			tables[n] = &schema.Table{Schema: n.Schema, Name: n.Table}
		}
		typ := schema.CleanType(row[3])
		tables[n].Columns = append(tables[n].Columns, schema.Column{Name: row[2], Type: typ, Unsigned: schema.Unsigned(typ), Key: keys[[3]string(row[:3])]})
	}
	return tables
}

// compare fails the test when a structure is not the server's.
func (f *follower) compare(step string) {
	f.t.Helper()
	actual := f.actual()
	for n, want := range actual {
		got := f.tables[n]
		if got == nil {
			f.t.Errorf("%s: %v is not known", step, n)
			f.tables[n] = want
			continue
		}
		if g, w := columnsOf(got, f.s), columnsOf(want, f.s); g != w || got.Schema != n.Schema || got.Name != n.Table {
			f.t.Errorf("%s: %v\n got  %s\n want %s", step, n, g, w)
			f.tables[n] = want
		}
	}
	for n := range f.tables {
		if actual[n] == nil {
			f.t.Errorf("%s: %v is there no more", step, n)
			delete(f.tables, n)
		}
	}
}

func columnsOf(t *schema.Table, s *harness.Server) string {
	var b strings.Builder
	for _, c := range t.Columns {
		fmt.Fprintf(&b, "%q %s", c.Name, normalType(c.Type, s))
		if c.Unsigned {
			b.WriteString(" unsigned")
		}
		if c.Key {
			b.WriteString(" key")
		}
		b.WriteString(", ")
	}
	return b.String()
}

// typeNames are the servers' words for other words.
var typeNames = map[string]string{
	"integer": "int", "int1": "tinyint", "int2": "smallint", "int3": "mediumint", "int4": "int", "int8": "bigint", "middleint": "mediumint",
	"bool": "tinyint", "boolean": "tinyint", "serial": "bigint", "dec": "decimal", "numeric": "decimal", "fixed": "decimal",
	"double precision": "double", "real": "double", "float4": "float", "float8": "double",
	"character": "char", "national char": "char", "nchar": "char", "long": "mediumtext", "long varchar": "mediumtext", "long varbinary": "mediumblob",
	"char varying": "varchar", "character varying": "varchar", "varcharacter": "varchar", "national varchar": "varchar", "nvarchar": "varchar",
	"nchar varchar": "varchar", "nchar varying": "varchar", "national character varying": "varchar",
}

// normalType is a type's name and arguments as all spellings of it have them.
func normalType(typ string, s *harness.Server) string {
	if name, members, ok := strings.Cut(typ, "('"); ok {
		return strings.ToLower(name) + "('" + members
	}
	typ = strings.ToLower(typ)
	typ, zerofill := strings.CutSuffix(typ, " zerofill")
	typ = strings.TrimSuffix(typ, " unsigned")
	base, args, _ := strings.Cut(typ, "(")
	if name, ok := typeNames[base]; ok {
		base = name
	}
	n := 0
	if _, err := fmt.Sscan(strings.TrimSuffix(args, ")"), &n); err != nil {
		n = 0
	}
	switch {
	case base == "json" && !s.MySQL():
		base = "longtext"
	case strings.HasSuffix(base, "int"), base == "year", (base == "float" || base == "double") && !strings.Contains(args, ","):
		args = ""
	case (base == "text" || base == "blob") && n > 0:
		if base == "text" {
			n *= 4 // bytes of a letter
		}
		switch {
		case n < 1<<8:
			base = "tiny" + base
		case n >= 1<<16:
			base = "medium" + base
		}
		args = ""
	case base == "decimal" && args == "":
		args = "10,0)"
	case base == "decimal" && !strings.Contains(args, ","):
		args = strings.TrimSuffix(args, ")") + ",0)"
	case (base == "char" || base == "bit" || base == "binary") && args == "":
		args = "1)"
	}
	if args != "" {
		base += "(" + args
	}
	if zerofill {
		base += " zerofill"
	}
	return base
}
