package integration

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/test/harness"
)

// rowLines are the rows of the scene's entries as lines.
func (sc *scene) rowLines() []string {
	sc.t.Helper()
	var lines []string
	for _, r := range sc.rows() {
		lines = append(lines, r.String())
	}
	return lines
}

// leave stops canald once it has taken what was acknowledged.
func (sc *scene) leave() {
	sc.t.Helper()
	if _, err := sc.conn.GetWithoutAck(sc.t.Context(), 1, 0); err != nil { // answered behind the acks before it
		sc.t.Fatal(err)
	}
	sc.c.stop()
}

// TestStructuresFromAhead: without a history and from an old place, what the
// statements ahead change is taken back from what the source has now.
func TestStructuresFromAhead(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "ahead1", 4801)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(9))")
		file, offset := place(t, s)
		sc.exec("INSERT INTO t VALUES (1,2,'x')",
			"ALTER TABLE t ADD c BIGINT AFTER id, ADD INDEX (a)", "INSERT INTO t VALUES (2,3,4,'y')",
			"ALTER TABLE t CHANGE a aa BIGINT, COMMENT 'x'", "INSERT INTO t VALUES (3,4,5,'z')",
			"ALTER TABLE t ADD (d INT, e INT)", "INSERT INTO t VALUES (4,5,6,'u',7,8)")
		sc.config.Start = binlog.StartConfig{File: file, Offset: offset}
		sc.begin("")
		equal(t, sc.rowLines(), []string{
			"t INSERT id=1 a=2 b=x", "t INSERT id=2 c=3 a=4 b=y", "t INSERT id=3 c=4 aa=5 b=z", "t INSERT id=4 c=5 aa=6 b=u d=7 e=8",
		})
	})
}

// TestStructuresOfTheirTime: what changed while canald was away is known when it
// comes back, also where nothing but names differs.
func TestStructuresOfTheirTime(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "away1", 4802)
		dir := t.TempDir()
		path := filepath.Join(dir, history.FileName)
		sc.config.HistoryFile = path
		sc.exec("CREATE TABLE a (id INT PRIMARY KEY, a1 INT, a2 INT)", "CREATE TABLE b (id INT PRIMARY KEY, b1 INT, b2 INT)",
			"CREATE TABLE c (id INT PRIMARY KEY, c1 INT, c2 INT)", "CREATE TABLE p (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (100))",
			"CREATE TABLE q (id INT PRIMARY KEY, v INT)", "CREATE TABLE gone (id INT PRIMARY KEY, x INT, y INT)")
		exchange := "ALTER TABLE p EXCHANGE PARTITION p0 WITH TABLE q"
		if s.MySQL() && !s.AtLeast(5, 6) {
			exchange = "ALTER TABLE p COMMENT 'it knows no exchange'"
		}
		sc.begin(dir)
		sc.exec("INSERT INTO a VALUES (1,1,1)")
		equal(t, sc.rowLines(), []string{"a INSERT id=1 a1=1 a2=1"})
		sc.leave()
		sc.exec("INSERT INTO a VALUES (2,2,2)", "INSERT INTO b VALUES (2,2,2)", "INSERT INTO gone VALUES (1,2,3)", "DROP TABLE gone",
			"CREATE TABLE gone (y INT, x INT, id INT PRIMARY KEY)", "INSERT INTO gone VALUES (1,2,3)", "DROP TABLE gone",
			"RENAME TABLE a TO tmp, b TO a, c TO b, tmp TO c", "INSERT INTO a VALUES (3,3,3)", "INSERT INTO b VALUES (3,3,3)", "INSERT INTO c VALUES (3,3,3)",
			"CREATE TABLE IF NOT EXISTS a (x1 INT, x2 INT, x3 INT)", "INSERT INTO a VALUES (4,4,4)",
			"ALTER TABLE a MODIFY b1 INT AFTER b2", "INSERT INTO a VALUES (5,6,7)",
			"ALTER TABLE a DROP b1, ADD n INT", "INSERT INTO a VALUES (6,7,8)",
			exchange, "INSERT INTO p VALUES (1,1)", "INSERT INTO q VALUES (2,2)",
			"RENAME TABLE a TO b2, b TO a, b2 TO b", "INSERT INTO a VALUES (7,7,7)", "INSERT INTO b VALUES (7,8,9)")
		sc.begin(dir)
		want := []string{
			"a INSERT id=2 a1=2 a2=2", "b INSERT id=2 b1=2 b2=2", "gone INSERT id=1 x=2 y=3", "gone INSERT y=1 x=2 id=3",
			"a INSERT id=3 b1=3 b2=3", "b INSERT id=3 c1=3 c2=3", "c INSERT id=3 a1=3 a2=3",
			"a INSERT id=4 b1=4 b2=4", "a INSERT id=5 b2=6 b1=7", "a INSERT id=6 b2=7 n=8",
			"p INSERT id=1 v=1", "q INSERT id=2 v=2", "a INSERT id=7 c1=7 c2=7", "b INSERT id=7 b2=8 n=9",
		}
		got := sc.rowLines()
		equal(t, got, want)
		// Once more, from the cursor that nobody moved.
		sc.leave()
		sc.exec("INSERT INTO b VALUES (8,8,8)")
		sc.begin(dir)
		equal(t, sc.rowLines(), []string{"b INSERT id=8 b2=8 n=8"})
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			sc.exec("CREATE DATABASE IF NOT EXISTS away1", "CREATE TABLE IF NOT EXISTS b (other INT)", "TRUNCATE TABLE q")
		}
		sc.rows()
		after, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if after.Size() != info.Size() || !after.ModTime().Equal(info.ModTime()) {
			t.Error("statements that change no structure are written to the history")
		}
	})
}

// TestStructuresByMetadata: with the binlog's own metadata no statement has to be known.
func TestStructuresByMetadata(t *testing.T) {
	full := func(v harness.Version) bool { return v.MySQL() && v.AtLeast(8, 0) || !v.MySQL() && v.AtLeast(10, 5) }
	eachOf(t, full, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "full1", 4803)
		s.Exec(t, "SET GLOBAL binlog_row_metadata=FULL")
		t.Cleanup(func() {
			conn, err := s.Conn(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Execute("SET GLOBAL binlog_row_metadata=MINIMAL"); err != nil {
				t.Error(err)
			}
		})
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT UNSIGNED, e ENUM('x','it''s'), v VARCHAR(7), n DECIMAL(5,2), k VARBINARY(4))")
		file, offset := place(t, s)
		sc.exec("INSERT INTO t VALUES (1,4000000000,'it''s','é',1.5,x'ff')", "ALTER TABLE t DROP a, MODIFY v VARCHAR(7) FIRST, RENAME TO u", "INSERT INTO u VALUES ('w',2,'x',2,x'00')", "DROP TABLE u")
		sc.config.Start = binlog.StartConfig{File: file, Offset: offset}
		sc.begin("")
		rows := sc.rows()
		var lines, types []string
		for _, r := range rows {
			lines = append(lines, r.String())
			for _, c := range r.after {
				types = append(types, c.GetMysqlType())
				if c.GetIsKey() != (c.GetName() == "id") {
					t.Errorf("%s: key %v", c.GetName(), c.GetIsKey())
				}
			}
		}
		equal(t, lines, []string{"t INSERT id=1 a=4000000000 e=2 v=é n=1.50 k=ÿ", "u INSERT v=w id=2 e=1 n=2.0 k=\x00"})
		integer, unsigned := "int", "int unsigned"
		if !s.MySQL() {
			integer, unsigned = "int(11)", "int(10) unsigned"
		}
		members, v, n, k := "enum('x','it''s')", "varchar(7)", "decimal(5,2)", "varbinary(4)"
		equal(t, types, slices.Concat([]string{integer, unsigned, members, v, n, k}, []string{"VARCHAR(7)", integer, members, n, k}))
	})
}

// TestAlterInTwoPhases: an ALTER that a MariaDB logs when it begins and when it is
// done changes the structure once, and not at its begin.
func TestAlterInTwoPhases(t *testing.T) {
	twoPhases := func(v harness.Version) bool { return !v.MySQL() && v.AtLeast(10, 8) }
	eachOf(t, twoPhases, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "phases1", 4804)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT)")
		sc.begin("")
		sc.exec("SET SESSION binlog_alter_two_phase=ON", "INSERT INTO t VALUES (1,1)", "ALTER TABLE t ADD b INT FIRST, ADD c INT AFTER id",
			"INSERT INTO t VALUES (2,3,4,5)", "ALTER TABLE t MODIFY c INT FIRST", "INSERT INTO t VALUES (6,7,8,9)")
		equal(t, sc.rowLines(), []string{"t INSERT id=1 a=1", "t INSERT b=2 id=3 c=4 a=5", "t INSERT c=6 b=7 id=8 a=9"})
	})
}
