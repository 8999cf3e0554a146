package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/canald/canald/test/harness"
)

func TestRowImages(t *testing.T) {
	// MySQL 5.5 has full images only.
	eachOf(t, func(v harness.Version) bool { return v.AtLeast(5, 6) }, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "images1", 4211)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(5), c BLOB)", "CREATE TABLE nokey (a INT, b INT)")
		sc.begin("")
		changes := []string{
			"INSERT INTO t (id, a) VALUES (1, 2)", "UPDATE t SET b='x' WHERE id=1", "UPDATE t SET id=2 WHERE id=1",
			"UPDATE t SET c='y' WHERE id=2", "DELETE FROM t",
			"INSERT INTO nokey VALUES (1, 2)", "UPDATE nokey SET b=3",
		}
		sc.exec(append([]string{"SET binlog_row_image=MINIMAL"}, changes...)...)
		sc.exec("DELETE FROM nokey")
		sc.exec(append([]string{"SET binlog_row_image=NOBLOB"}, changes...)...)
		var got []string
		for _, r := range sc.rows() {
			got = append(got, r.String())
		}
		noKey := "nokey UPDATE a=1 b=2 -> b=3*"
		if !s.MySQL() {
			noKey = "nokey UPDATE a=1 b=2 -> a=1 b=3*" // MariaDB logs such rows whole
		}
		equal(t, got, []string{
			"t INSERT id=1 a=2", "t UPDATE id=1 -> b=x*", "t UPDATE id=1 -> id=2*", "t UPDATE id=2 -> c=y*", "t DELETE id=2",
			"nokey INSERT a=1 b=2", noKey,
			"nokey DELETE a=1 b=3",
			"t INSERT id=1 a=2 b=NULL", "t UPDATE id=1 a=2 b=NULL -> id=1 a=2 b=x*", "t UPDATE id=1 a=2 b=x -> id=2* a=2 b=x",
			"t UPDATE id=2 a=2 b=x -> id=2 a=2 b=x c=y*", "t DELETE id=2 a=2 b=x",
			"nokey INSERT a=1 b=2", "nokey UPDATE a=1 b=2 -> a=1 b=3*",
		})
	})
}

// A compressed transaction looks as one that is not, but for its place.
func TestTransactionPayload(t *testing.T) {
	eachOf(t, func(v harness.Version) bool { return v.MySQL() && v.AtLeast(8, 0) }, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "payload1", 4212)
		sc.exec("CREATE TABLE 订单 (id INT PRIMARY KEY, v LONGTEXT)")
		sc.begin("")
		sc.exec("SET binlog_transaction_compression=ON", "BEGIN",
			"INSERT INTO 订单 VALUES (1, REPEAT('a', 100000)), (2, '漢')", "UPDATE 订单 SET v='b' WHERE id=2", "COMMIT")
		entries := sc.entries()
		equal(t, story(t, entries), transaction(s,
			"订单 INSERT id=1 v="+strings.Repeat("a", 100000), "订单 INSERT id=2 v=漢", "订单 UPDATE id=2 v=漢 -> id=2 v=b*"))
		for _, e := range entries {
			if e.GetHeader().GetLogfileOffset() != entries[0].GetHeader().GetLogfileOffset() || e.GetHeader().GetEventLength() > 10000 {
				t.Errorf("entry at %d of %d bytes: the transaction was not compressed", e.GetHeader().GetLogfileOffset(), e.GetHeader().GetEventLength())
			}
		}
	})
}

func TestMariaDBCompressedEvents(t *testing.T) {
	eachOf(t, isMariaDB, func(t *testing.T, s *harness.Server) {
		s.Exec(t, "SET GLOBAL log_bin_compress=ON", "SET GLOBAL log_bin_compress_min_len=10")
		defer s.Exec(t, "SET GLOBAL log_bin_compress=OFF")
		sc := newScene(t, s, "compress1", 4213)
		sc.begin("")
		long := strings.Repeat("q", 70000)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT)", "INSERT INTO t VALUES (1, '"+long+"')",
			"UPDATE t SET v='short text that is still compressed'", "DELETE FROM t")
		equal(t, story(t, withoutQueries(t, sc.entries())), []string{
			"DDL: CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT)",
			"t INSERT id=1 v=" + long, "END",
			"t UPDATE id=1 v=" + long + " -> id=1 v=short text that is still compressed*", "END",
			"t DELETE id=1 v=short text that is still compressed", "END",
		})
	})
}

func TestPartialJSON(t *testing.T) {
	eachOf(t, hasJSON, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "partial1", 4214)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY, j JSON, k INT)", `INSERT INTO t VALUES (1, '{"b": 1, "d": "text that is long enough to be worth a diff", "c": {"x": "old"}}', 0)`)
		sc.begin("")
		sc.exec("SET binlog_row_value_options=PARTIAL_JSON",
			`UPDATE t SET j=JSON_REPLACE(j, '$.b', 2, '$.c.x', 'new')`, `UPDATE t SET j=JSON_REMOVE(j, '$.b')`)
		rows := sc.rows()
		if len(rows) != 2 {
			t.Fatalf("%d rows", len(rows))
		}
		equal(t, []string{rows[0].after[1].GetValue(), rows[1].after[1].GetValue()},
			[]string{`JSON_REPLACE(j, '$.b', 2, '$.c.x', "new")`, `JSON_REMOVE(j, '$.b')`})
	})
}

func TestStatementsOfRows(t *testing.T) {
	eachOf(t, func(v harness.Version) bool { return v.AtLeast(5, 6) }, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "rowsquery1", 4215)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY)")
		sc.begin("")
		on := "SET binlog_rows_query_log_events=ON"
		if !s.MySQL() {
			on = "SET binlog_annotate_row_events=ON"
		}
		sc.exec(on, "INSERT INTO t VALUES (1)", "DELETE /* 漢 */ FROM t")
		query := "QUERY t: "
		if !s.MySQL() {
			query = "QUERY: " // an ANNOTATE_ROWS names no table
		}
		equal(t, story(t, sc.entries()), slices.Concat(transaction(s, query+"INSERT INTO t VALUES (1)", "t INSERT id=1"),
			transaction(s, query+"DELETE /* 漢 */ FROM t", "t DELETE id=1")))
	})
}

func TestXA(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "xa1", 4216)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY)")
		sc.begin("")
		sc.exec("XA START 'one'", "INSERT INTO t VALUES (1)", "XA END 'one'", "XA PREPARE 'one'", "XA COMMIT 'one'")
		sc.exec("XA START 'two'", "INSERT INTO t VALUES (2)", "XA END 'two'", "XA COMMIT 'two' ONE PHASE")
		var rows, xa []string
		for _, line := range story(t, sc.entries()) {
			switch {
			case strings.HasPrefix(line, "t "):
				rows = append(rows, line)
			case strings.HasPrefix(line, "XA"):
				xa = append(xa, line)
			}
		}
		equal(t, rows, []string{"t INSERT id=1", "t INSERT id=2"})
		// From 5.7 and 10.5 on a prepared transaction outlives its session, and
		// its commit is an event of its own.
		apart := s.MySQL() && s.AtLeast(5, 7) || !s.MySQL() && s.AtLeast(10, 5)
		if want := []string{"XACOMMIT: XA COMMIT X'6f6e65',X'',1"}; apart && !slices.Equal(xa, want) || !apart && len(xa) > 0 {
			t.Errorf("got %q", xa)
		}
	})
}

func TestMyISAM(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "myisam1", 4217)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY) ENGINE=MyISAM")
		sc.begin("")
		sc.exec("INSERT INTO t VALUES (1), (2)", "UPDATE t SET id=3 WHERE id=1")
		equal(t, story(t, withoutQueries(t, sc.entries())), slices.Concat(
			transaction(s, "t INSERT id=1", "t INSERT id=2"), transaction(s, "t UPDATE id=1 -> id=3*")))
	})
}

func TestWideAndOddTables(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "odd1", 4218)
		sc.exec("CREATE TABLE `o'r\"d er-``表` (`i'd` INT PRIMARY KEY, `名 ``前` VARCHAR(20), `sélect` INT, `c;d` VARCHAR(9))")
		var ddl, values []string
		var line strings.Builder
		line.WriteString("wide INSERT")
		for i := range 300 {
			ddl = append(ddl, fmt.Sprintf("c%d %s", i, []string{"INT", "VARCHAR(9)", "DATE"}[i%3]))
			v := []string{fmt.Sprint(i), fmt.Sprintf("v%d", i), "2024-02-29"}[i%3]
			if i%7 == 0 {
				values = append(values, "NULL")
				fmt.Fprintf(&line, " c%d=NULL", i)
				continue
			}
			values = append(values, "'"+v+"'")
			fmt.Fprintf(&line, " c%d=%s", i, v)
		}
		want := line.String()
		sc.exec("CREATE TABLE wide (" + strings.Join(ddl, ",") + ")")
		sc.begin("")
		sc.exec("SET NAMES utf8mb4", "INSERT INTO `o'r\"d er-``表` VALUES (1, '😀漢é', NULL, 'x')", "INSERT INTO wide VALUES ("+strings.Join(values, ",")+")")
		var got []string
		for _, r := range sc.rows() {
			got = append(got, r.String())
		}
		equal(t, got, []string{"o'r\"d er-`表 INSERT i'd=1 名 ``前=😀漢é sélect=NULL c;d=x", want})
	})
}

func TestDDL(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "ddl1", 4219)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT)")
		sc.begin("")
		// A mark behind each step: the structure that a row had is read when its
		// first row comes, so the steps must not run ahead of the reader.
		var got []string
		step := func(sql ...string) {
			t.Helper()
			sc.exec(sql...)
			for _, line := range story(t, withoutQueries(t, sc.entries())) {
				if line != "BEGIN" && line != "END" {
					got = append(got, line)
				}
			}
		}
		step("INSERT INTO t VALUES (1, 1)")
		step("ALTER TABLE t ADD COLUMN b VARCHAR(5) FIRST, ADD COLUMN c INT", "INSERT INTO t VALUES ('x', 2, 2, 3)")
		step("ALTER TABLE t DROP COLUMN a", "UPDATE t SET c=4 WHERE id=2")
		step("RENAME TABLE t TO t2", "INSERT INTO t2 VALUES ('y', 3, 5)")
		step("CREATE TABLE new (id INT PRIMARY KEY, v INT)", "INSERT INTO new VALUES (1, 2)")
		step("CREATE INDEX i ON new (v)", "DROP INDEX i ON new")
		step("TRUNCATE TABLE new", "DROP TABLE new", "CREATE TABLE new (v INT, w INT)", "INSERT INTO new VALUES (7, 8)")
		for i := range got { // servers add to the text of a drop
			got[i] = strings.TrimSuffix(strings.ReplaceAll(got[i], "`", ""), " /* generated by server */")
		}
		equal(t, got, []string{
			"t INSERT id=1 a=1",
			"DDL: ALTER TABLE t ADD COLUMN b VARCHAR(5) FIRST, ADD COLUMN c INT", "t INSERT b=x id=2 a=2 c=3",
			"DDL: ALTER TABLE t DROP COLUMN a", "t UPDATE b=x id=2 c=3 -> b=x id=2 c=4*",
			"DDL: RENAME TABLE t TO t2", "t2 INSERT b=y id=3 c=5",
			"DDL: CREATE TABLE new (id INT PRIMARY KEY, v INT)", "new INSERT id=1 v=2",
			"DDL: CREATE INDEX i ON new (v)", "DDL: DROP INDEX i ON new",
			"DDL: TRUNCATE TABLE new", "DDL: DROP TABLE new", "DDL: CREATE TABLE new (v INT, w INT)", "new INSERT v=7 w=8",
		})
	})
}
