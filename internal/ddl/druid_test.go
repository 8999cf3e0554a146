package ddl_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/canald/canald/internal/ddl"
)

// short writes results as "ALTER d.t", "RENAME d.b<d.a", "QUERY `d`" for a schema
// alone and "QUERY" for what has no names.
func short(results []ddl.Result) []string {
	var lines []string
	for _, r := range results {
		line := r.Kind.String()
		switch {
		case r.HasSchema && r.HasTable:
			line += " " + r.Schema + "." + r.Table
		case r.HasSchema:
			line += " " + r.Schema
		case r.HasTable:
			line += " ?" + r.Table
		}
		if r.Kind == ddl.Rename {
			line += "<" + r.FromSchema + "." + r.FromTable
		}
		lines = append(lines, line)
	}
	return lines
}

func TestKindNumbers(t *testing.T) {
	got := fmt.Sprint(int(ddl.Insert), int(ddl.Update), int(ddl.Delete), int(ddl.Create), int(ddl.Alter), int(ddl.Erase),
		int(ddl.Query), int(ddl.Truncate), int(ddl.Rename), int(ddl.CreateIndex), int(ddl.DropIndex))
	if got != "1 2 3 4 5 6 7 8 9 10 11" {
		t.Error(got)
	}
}

const (
	none     = ""      // parsed, and nothing for clients
	nameless = "QUERY" // not parsed
)

var druidCases = []struct{ sql, want string }{
	// The kinds of results.
	{"CREATE TABLE t (id INT PRIMARY KEY, a INT)", "CREATE d.t"},
	{"create table if not exists x.t (id int)", "CREATE x.t"},
	{"CREATE TEMPORARY TABLE tmp1 (a INT)", "CREATE d.tmp1"},
	{"CREATE TABLE lk LIKE t4", "CREATE d.lk"},
	{"CREATE TABLE lk (LIKE x.t4)", "CREATE d.lk"},
	{"CREATE TABLE cs AS SELECT id, cc FROM t4", "CREATE d.cs"},
	{"CREATE TABLE cs (a INT) IGNORE SELECT id, cc FROM t4", "CREATE d.cs"},
	{"CREATE TABLE `cs` (\n  `id` int NOT NULL,\n  `cc` text\n) START TRANSACTION", "CREATE d.cs"},
	{"CREATE TABLE g10b.other (id INT PRIMARY KEY) COMMENT='x;y'", "CREATE g10b.other"},
	{"CREATE TABLE p (id INT, d DATE) PARTITION BY RANGE (YEAR(d)) (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN MAXVALUE)", "CREATE d.p"},
	{"CREATE TABLE p (id INT) ENGINE=InnoDB /*!50100 PARTITION BY HASH (id) PARTITIONS 4 */", "CREATE d.p"},
	{"CREATE TABLE fx (id INT PRIMARY KEY, v VARCHAR(20), INDEX ((UPPER(v))), c INT CHECK (c>0))", "CREATE d.fx"},
	{"CREATE TABLE g (a INT PRIMARY KEY, b INT AS (a*2) VIRTUAL, c INT GENERATED ALWAYS AS (a+1) STORED, d INT)", "CREATE d.g"},
	{"CREATE TABLE t (a INT, FULLTEXT KEY ft (b) WITH PARSER ngram, CONSTRAINT f FOREIGN KEY (a) REFERENCES o (i) ON DELETE SET NULL)", "CREATE d.t"},
	{"CREATE TABLE t (a INT DEFAULT (1+(2)), b VARCHAR(9) DEFAULT 'it''s', c TEXT COMMENT 'a, b) c')", "CREATE d.t"},
	{"CREATE TABLE t (p POINT NOT NULL /*!80003 SRID 4326 */, c TEXT /*M!100301 COMPRESSED*/)", "CREATE d.t"},
	{"CREATE TABLE t (a char(3) character set binary, u UUID, i INET6, j LONGTEXT CHECK (json_valid(`j`))) COLLATE uca1400_ai_ci", "CREATE d.t"},
	{"CREATE TABLE t (array INT, enforced INT, visible INT, KEY k (array), KEY l (visible, array(5)), CHECK (enforced > 1) ENFORCED)", "CREATE d.t"},
	{"CREATE TABLE t (a INT) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC UNION=(a,b) COMMENT 'x'", "CREATE d.t"},
	{"ALTER TABLE t ADD COLUMN b VARCHAR(10) DEFAULT 'x' AFTER id", "ALTER d.t"},
	{"ALTER TABLE t ADD COLUMN f INT FIRST, DROP COLUMN a, ADD INDEX ib (b)", "ALTER d.t|ALTER d.t|CINDEX d.t"},
	{"ALTER TABLE t DROP INDEX ib, CHANGE b bb TEXT, MODIFY f BIGINT UNSIGNED", "DINDEX d.t|ALTER d.t|ALTER d.t"},
	{"ALTER TABLE t RENAME COLUMN bb TO cc", "ALTER d.t"},
	{"ALTER TABLE t RENAME INDEX bb TO cc", "ALTER d.t"},
	{"ALTER TABLE t RENAME TO t2", "RENAME d.t2<d.t"},
	{"ALTER TABLE n RENAME g16.n2", "RENAME g16.n2<d.n"},
	{"ALTER TABLE x.n RENAME AS n2", "RENAME d.n2<x.n"},
	{"alter table t rename t2, add column x int", "RENAME d.t2<d.t|ALTER d.t"},
	{"alter table t add index k(c), add column d int", "CINDEX d.t|ALTER d.t"},
	{"alter table t add column c int, add index (c)", "ALTER d.t|CINDEX d.t"},
	{"alter table t add index k(c), engine=innodb", "ALTER d.t|CINDEX d.t"},
	{"alter table t add index k(c), engine=innodb, comment='x' auto_increment=3", "ALTER d.t|CINDEX d.t"},
	{"alter table t add index k(c), algorithm=inplace, lock=none", "CINDEX d.t|ALTER d.t|ALTER d.t"},
	{"alter table t algorithm inplace, lock none", "ALTER d.t|ALTER d.t"},
	{"ALTER IGNORE TABLE t ADD FULLTEXT KEY ft (b)", "CINDEX d.t"},
	{"ALTER TABLE t ADD KEY (b)", "CINDEX d.t"},
	{"ALTER TABLE t ADD UNIQUE KEY um (m1)", "CINDEX d.t"},
	{"ALTER TABLE t ADD UNIQUE (m1)", "CINDEX d.t"},
	{"ALTER TABLE t ADD CONSTRAINT u UNIQUE (m1)", "CINDEX d.t"},
	{"ALTER TABLE t ADD CONSTRAINT UNIQUE INDEX u (m1)", "CINDEX d.t"},
	{"ALTER TABLE t ADD PRIMARY KEY (id)", "CINDEX d.t"},
	{"ALTER TABLE t DROP KEY k", "DINDEX d.t"},
	{"ALTER TABLE t DROP CONSTRAINT c", "DINDEX d.t"},
	{"ALTER TABLE t DROP FOREIGN KEY c", "DINDEX d.t"},
	{"ALTER TABLE t DROP CHECK c", "ALTER d.t"},
	{"ALTER TABLE t DROP PRIMARY KEY", "ALTER d.t"},
	{"ALTER TABLE n DROP PRIMARY KEY, ADD PRIMARY KEY (id, m1), MODIFY m1 INT NOT NULL DEFAULT 0", "ALTER d.n|CINDEX d.n|ALTER d.n"},
	{"ALTER TABLE n ADD COLUMN (m1 INT, m2 VARCHAR(5) DEFAULT 'x'), ADD UNIQUE KEY um (m1), ADD CONSTRAINT ck CHECK (m1 > 0)", "ALTER d.n|CINDEX d.n"},
	{"ALTER TABLE n DROP CONSTRAINT ck, DROP KEY um, MODIFY m2 VARCHAR(50) FIRST, ADD COLUMN last1 JSON AFTER id", "DINDEX d.n|DINDEX d.n|ALTER d.n|ALTER d.n"},
	{"ALTER TABLE n2 ADD COLUMN `we``ird, na(me` ENUM('a,b','c)d','e''f') COMMENT 'x, y ) z' AFTER id, ADD FULLTEXT KEY ft (b) /* , DROP COLUMN a */", "ALTER d.n2|CINDEX d.n2"},
	{"ALTER TABLE p TRUNCATE PARTITION p0, p1", "ALTER d.p"},
	{"ALTER TABLE p DROP PARTITION p0, p1", "ALTER d.p"},
	{"ALTER TABLE p ADD PARTITION (PARTITION p3 VALUES LESS THAN (9))", "ALTER d.p"},
	{"ALTER TABLE p EXCHANGE PARTITION p0 WITH TABLE q", "ALTER d.p"},
	{"ALTER TABLE t4 CONVERT TO CHARACTER SET latin1", "ALTER d.t4"},
	{"ALTER TABLE t4 COMMENT 'c'", "ALTER d.t4"},
	{"ALTER TABLE t4 DEFAULT CHARACTER SET = latin1", "ALTER d.t4"},
	{"ALTER TABLE t4 DISABLE KEYS", "ALTER d.t4"},
	{"ALTER TABLE t4 ALTER COLUMN c SET DEFAULT 5", "ALTER d.t4"},
	{"ALTER TABLE t4 ORDER BY a, b", "ALTER d.t4"},
	{"ALTER  TABLE g10.t4  ADD z INT", "ALTER g10.t4"},
	{"DROP TABLE IF EXISTS `lk`,`cs`,`nosuch` /* generated by server */", "ERASE d.lk|ERASE d.cs|ERASE d.nosuch"},
	{"drop table a, db2.b", "ERASE d.a|ERASE db2.b"},
	{"DROP TEMPORARY TABLE tmp1", "ERASE d.tmp1"},
	{"DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `tmp1`", "ERASE d.tmp1"},
	{"TRUNCATE TABLE lk", "TRUNCATE d.lk"},
	{"TRUNCATE g10.cs", "TRUNCATE g10.cs"},
	{"RENAME TABLE t2 TO t4", "RENAME d.t4<d.t2"},
	{"RENAME TABLE g10b.other TO g10.moved", "RENAME g10.moved<g10b.other"},
	{"RENAME TABLE p TO _p_del, _p_gho TO p", "RENAME d._p_del<d.p|RENAME d.p<d._p_gho"},
	{"RENAME TABLE t4 TO tmp_swap, n TO t4, tmp_swap TO n", "RENAME d.tmp_swap<d.t4|RENAME d.t4<d.n|RENAME d.n<d.tmp_swap"},
	{"CREATE INDEX i1 ON t (f)", "CINDEX d.t"},
	{"CREATE UNIQUE INDEX i2 USING BTREE ON x.t (f,id)", "CINDEX x.t"},
	{"CREATE FULLTEXT INDEX i ON t (f)", "CINDEX d.t"},
	{"CREATE SPATIAL INDEX i ON t (f)", "CINDEX d.t"},
	{"DROP INDEX i1 ON t", "DINDEX d.t"},
	{"INSERT INTO t VALUES (1,'stmt')", "INSERT d.t"},
	{"insert ignore x.t select 1", "INSERT x.t"},
	{"INSERT HIGH_PRIORITY INTO t SET a=1", "INSERT d.t"},
	{"UPDATE t SET v='u' WHERE id=1", "UPDATE d.t"},
	{"UPDATE LOW_PRIORITY IGNORE x.t SET v='u'", "UPDATE x.t"},
	{"UPDATE a JOIN b ON a.id=b.id SET a.v=77,b.v=78", "UPDATE d.a"},
	{"UPDATE a, b SET a.v=1", "UPDATE d.a"},
	{"DELETE FROM t WHERE id=1", "DELETE d.t"},
	{"DELETE a,b FROM a JOIN b ON a.id=b.id", "DELETE"},
	{"DELETE FROM a, b USING a JOIN b", "DELETE"},
	{"DELETE a.* FROM a JOIN b", "DELETE d.a"},
	{"CREATE DATABASE g10b DEFAULT CHARACTER SET utf8mb4", "QUERY g10b"},
	{"CREATE DATABASE IF NOT EXISTS `d-2`", "QUERY `d-2`"},
	{"DROP DATABASE g10b", "QUERY g10b"},
	{"DROP SCHEMA IF EXISTS `d-2`", "QUERY `d-2`"},

	// Parsed, and not told of.
	{"CREATE VIEW v1 AS SELECT * FROM t4", none},
	{"CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY DEFINER VIEW v AS SELECT 1", none},
	{"ALTER VIEW v AS SELECT 1", none},
	{"DROP VIEW v1", none},
	{"CREATE DEFINER=`root`@`localhost` PROCEDURE pr() INSERT INTO t4 VALUES (10,10,'p',10)", none},
	{"DROP PROCEDURE pr", none},
	{"CREATE FUNCTION f() RETURNS INT RETURN 1", none},
	{"ALTER FUNCTION f COMMENT 'x'", none},
	{"CREATE TRIGGER tr BEFORE INSERT ON t4 FOR EACH ROW SET NEW.z=NEW.f*2", none},
	{"DROP TRIGGER tr", none},
	{"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", none},
	{"ALTER EVENT e DISABLE", none},
	{"CREATE USER g10u@localhost IDENTIFIED BY 'x'", none},
	{"ALTER USER 'a'@'%' IDENTIFIED BY 'x'", none},
	{"DROP USER g10u@localhost", none},
	{"CREATE ROLE r", none},
	{"DROP ROLE r", none},
	{"CREATE SEQUENCE sq START 5", none},
	{"ALTER SEQUENCE sq RESTART 5", none},
	{"DROP SEQUENCE sq", none},
	{"CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h')", none},
	{"DROP SERVER s", none},
	{"CREATE TABLESPACE ts ADD DATAFILE 'x.ibd'", none},
	{"DROP TABLESPACE ts", none},
	{"ALTER DATABASE d CHARACTER SET utf8mb4", none},
	{"ALTER INSTANCE ROTATE INNODB MASTER KEY", none},
	{"GRANT SELECT ON g10.* TO g10u@localhost", none},
	{"REVOKE SELECT ON g10.* FROM g10u@localhost", none},
	{"SET @a = 1", none},
	{"SET PASSWORD FOR 'a'@'%' = 'x'", none},
	{"FLUSH TABLES", none},
	{"ANALYZE TABLE t4", none},
	{"OPTIMIZE TABLE t4", none},
	{"CHECK TABLE t4", none},
	{"LOCK TABLES t READ", none},
	{"UNLOCK TABLES", none},
	{"SAVEPOINT s1", none},
	{"ROLLBACK TO s1", none},
	{"ROLLBACK", none},
	{"CALL pr()", none},
	{"SELECT `d`.`f`()", none},
	{"(SELECT 1)", none},
	{"USE d", none},
	{"LOAD DATA INFILE 'x' INTO TABLE t", none},
	{"REPLACE INTO a VALUES (1,11),(9,9)", none},
	{"ALTER TABLE p REMOVE PARTITIONING", none},
	{"ALTER TABLE p ADD FOREIGN KEY (a) REFERENCES o (i)", none},
	{"ALTER TABLE p ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES o (i)", none},
	{"ALTER TABLE p ADD CHECK (a > 1)", none},
	{"/*!40000 ALTER TABLE t DISABLE KEYS */", none},
	{"WITH x AS (SELECT 1) SELECT * FROM x", none},
	{"", none},
	{"-- nothing", none},
	{"/* nothing */ ;", none},

	// Not parsed.
	{"RENAME TABLES a TO b", nameless},
	{"REPAIR TABLE t", nameless},
	{"INSTALL PLUGIN x SONAME 'x.so'", nameless},
	{"IMPORT TABLE FROM 'x.sdi'", nameless},
	{"WITH x AS (SELECT 1) UPDATE t SET a=1", nameless},
	{"CREATE TABLE inv (id INT PRIMARY KEY, a INT INVISIBLE, b INT)", nameless},
	{"CREATE TABLE inv (id INT PRIMARY KEY, a INT DEFAULT NULL /*!80023 INVISIBLE */, b INT)", nameless},
	{"CREATE TABLE inv (a INT /*!80023 INVISIBLE */)", nameless},
	{"CREATE TABLE gipk (my_row_id bigint unsigned NOT NULL AUTO_INCREMENT /*!80023 INVISIBLE */, a INT, PRIMARY KEY (my_row_id))", nameless},
	{"CREATE TABLE t (a INT DEFAULT 1 /*!50606 COLUMN_FORMAT FIXED */)", nameless},
	{"CREATE TABLE t (a INT AUTO_INCREMENT /*!50606 STORAGE DISK */, KEY (a))", nameless},
	{"CREATE TABLE t (a INT, KEY k (a) /*!80000 INVISIBLE */)", nameless},
	{"CREATE TABLE t (a INT, CHECK (a > 1) /*!80016 NOT ENFORCED */)", nameless},
	{"CREATE TABLE t (a INT, CHECK (a > 1) NOT ENFORCED)", nameless},
	{"CREATE TABLE t (p POINT NOT NULL SRID 4326)", nameless},
	{"ALTER TABLE t ADD p POINT SRID 0", nameless},
	{"ALTER TABLE t SECONDARY_ENGINE=NULL", nameless},
	{"CREATE TABLE t (a LONG VARCHAR)", nameless},
	{"CREATE TABLE t (a CHAR(3) BYTE)", nameless},
	{"CREATE TABLE t (a NCHAR VARCHAR(3))", nameless},
	{"CREATE TABLE t (a ENUM('a') BINARY)", nameless},
	{"CREATE TABLE t (a ENUM('a') CHARACTER SET BINARY)", nameless},
	{"CREATE TABLE t (a SET('a') CHARSET BINARY)", nameless},
	{"CREATE TABLE t (j JSON, KEY k ((CAST(j->'$' AS UNSIGNED ARRAY))))", nameless},
	{"CREATE INDEX k ON t ((CAST(j->'$' AS UNSIGNED ARRAY)))", nameless},
	{"ALTER TABLE t ADD INDEX k ((CAST(j->'$' AS CHAR(10) ARRAY)))", nameless},
	{"ALTER TABLE t ADD CHECK (a > 1) NOT ENFORCED", nameless},
	{"CREATE TABLE t (a INT CHECK (a > 1) NOT ENFORCED)", nameless},
	{"CREATE OR REPLACE TABLE orr (id INT PRIMARY KEY, v INT)", nameless},
	{"ALTER TABLE orr ADD COLUMN IF NOT EXISTS x INT, ADD INDEX IF NOT EXISTS ix (x)", nameless},
	{"ALTER TABLE orr DROP COLUMN IF EXISTS x", nameless},
	{"CREATE INDEX IF NOT EXISTS i ON t (a)", nameless},
	{"CREATE TABLE sv (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING", nameless},
	{"ALTER TABLE sv ADD SYSTEM VERSIONING", nameless},
	{"CREATE TABLE sv (a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME(s,e))", nameless},
	{"CREATE TABLE sv (s DATE, e DATE, PERIOD FOR p(s,e))", nameless},
	{"CREATE TABLE cc (t TEXT COMPRESSED, v VARCHAR(2000) COMPRESSED)", nameless},
	{"CREATE TABLE g (a INT, b INT AS (a) PERSISTENT)", nameless},
	{"DROP TABLE t WAIT 5", nameless},
	{"ALTER TABLE t WAIT 5 ADD a INT", nameless},
	{"RENAME TABLE t WAIT 5 TO u", nameless},
	{"CREATE TABLE sq (a INT) SEQUENCE=1", nameless},
	{"CREATE TABLE t (a INT) ENGINE=Aria PAGE_CHECKSUM=1", nameless},
	{"CREATE TABLE 表 (a INT)", nameless},
	{"CREATE TABLE t (列 INT)", nameless},
	{"SET STATEMENT max_statement_time=0 FOR ALTER TABLE t ADD a INT", nameless},
	{"GARBAGE", nameless},
	{"CREATE TABLE t (a INT DEFAULT 'x)", nameless},
	{"DROP TABLE a b", nameless},
	{"ALTER TABLE t ADD (a INT", nameless},

	// Comments and names.
	{"/* a comment */ ALTER /* inner */ TABLE g10.t4 /* c2 */ ADD z INT -- tail\n", "ALTER g10.t4"},
	{"-- x\nDROP TABLE a", "ERASE d.a"},
	{"# x\nDROP TABLE a;", "ERASE d.a"},
	{"CREATE TABLE /*!32312 IF NOT EXISTS*/ `t` (a INT)", "CREATE d.t"},
	{"CREATE TABLE `Mixed Case-Name` (`Order` INT PRIMARY KEY, `quo``te` INT, `列` VARCHAR(9))", "CREATE d.Mixed Case-Name"},
	{"CREATE TABLE `表` (`主键` INT PRIMARY KEY)", "CREATE d.表"},
	{"DROP TABLE `na``me`, `x`.`y`, ` x` . y", "ERASE d.na``me|ERASE x.y|ERASE  x.y"},
	{"DROP TABLE \"quoted\"", "ERASE d.quoted"},
	{"DROP TABLE def.x.t", "ERASE x.t"},
	{"CREATE TABLE def.x.t (a INT)", "CREATE x.t"},
	{"ALTER TABLE a RENAME TO def.x.rn_begin", "RENAME x.rn_begin<d.a"},
	{"rename table a to rn_begin", "RENAME d.rn_begin<d.a"},
	{"alter table a rename x_commit", "RENAME d.x_commit<d.a"},
	{"ALTER TABLE db.1t ADD c INT", "ALTER db.1t"},
}

func TestDruid(t *testing.T) {
	for _, c := range druidCases {
		got := strings.Join(short(ddl.Druid([]byte(c.sql), ddl.Mode{Schema: "d"})), "|")
		if got != c.want {
			t.Errorf("%s\n got  %q\n want %q", c.sql, got, c.want)
		}
	}
}

// Canal's parser takes a backslash for an escape in any session.
func TestDruidBackslash(t *testing.T) {
	const sql = `CREATE TABLE t (a VARCHAR(9) DEFAULT 'c:\', b VARCHAR(9) DEFAULT 'x')`
	if got := short(ddl.Druid([]byte(sql), ddl.Mode{Schema: "d", NoBackslashEscapes: true})); !slices.Equal(got, []string{nameless}) {
		t.Error(got)
	}
	const harmless = `CREATE TABLE t (a VARCHAR(9) DEFAULT 'c:\x')`
	if got := short(ddl.Druid([]byte(harmless), ddl.Mode{Schema: "d", NoBackslashEscapes: true})); !slices.Equal(got, []string{"CREATE d.t"}) {
		t.Error(got)
	}
}

// Of a long INSERT only the beginning is read.
func TestDruidLongInsert(t *testing.T) {
	sql := append([]byte("INSERT INTO t VALUES ('"), make([]byte, 64<<20)...)
	if n := testing.AllocsPerRun(10, func() { ddl.Druid(sql, ddl.Mode{Schema: "d"}) }); n > 50 {
		t.Errorf("%v allocations", n)
	}
	if got := short(ddl.Druid(sql, ddl.Mode{Schema: "d"})); !slices.Equal(got, []string{"INSERT d.t"}) {
		t.Error(got)
	}
}
