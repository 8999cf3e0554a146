package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/tsdb"
	"github.com/canald/canald/test/harness"
)

// archive is one in a new database of the server, by way of addr.
func archive(t *testing.T, s *harness.Server, addr, database, destination string, interval time.Duration) *tsdb.Archive {
	t.Helper()
	return tsdb.New(tsdb.Config{
		Addr: addr, Database: database, User: s.User, Password: s.Password, Destination: destination, Interval: interval, Keep: time.Hour,
	}, zaptest.NewLogger(t))
}

// hasGreeting leaves out servers from before MySQL 5.5.10, whose greeting the
// library for connections that are not ours cannot read.
func hasGreeting(v harness.Version) bool { return !v.MySQL() || v.AtLeast(5, 6) }

// TestTSDB: structures are kept where Java servers keep them, in their form.
func TestTSDB(t *testing.T) {
	eachOf(t, hasGreeting, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "tsdb1", 4951)
		sc.exec("DROP DATABASE IF EXISTS tsdb1_store", "CREATE DATABASE tsdb1_store", "GRANT ALL ON tsdb1_store.* TO 'canal'@'%'", "CREATE TABLE t (id INT PRIMARY KEY, a INT)", "CREATE VIEW w AS SELECT id FROM t")
		sc.config.HistoryFile = filepath.Join(t.TempDir(), history.FileName)
		sc.config.Source.Archive = archive(t, s, s.Addr, "tsdb1_store", "tsdb1", 0)
		dir := t.TempDir()
		sc.begin(dir)
		snapshots := query(t, s, "SELECT binlog_file, binlog_offest, binlog_master_id, binlog_timestamp, data FROM tsdb1_store.meta_snapshot WHERE destination='tsdb1'")
		if len(snapshots) != 1 || strings.Join(snapshots[0][:4], " ") != "0 0 -1 -2" || !strings.HasPrefix(snapshots[0][4], "{\"`tsdb1`\":\"CREATE TABLE `mark` (") || strings.Contains(snapshots[0][4], "VIEW") {
			t.Fatalf("%q", snapshots)
		}
		sc.exec("INSERT INTO t VALUES (1,1)", "ALTER TABLE t CHANGE a b INT", "INSERT INTO t VALUES (2,2)", "CREATE TABLE u LIKE t", "INSERT INTO u VALUES (1,2)")
		for range 20 {
			sc.exec("CREATE DATABASE IF NOT EXISTS tsdb1", "CREATE TABLE IF NOT EXISTS u (x INT)")
		}
		equal(t, sc.rowLines(), []string{"t INSERT id=1 a=1", "t INSERT id=2 b=2", "u INSERT id=1 b=2"})
		sc.leave()
		rows := query(t, s, "SELECT use_schema, sql_schema, sql_table, sql_type, sql_text, ifnull(extra,'-'), binlog_master_id, binlog_timestamp DIV 1000 FROM tsdb1_store.meta_history WHERE destination='tsdb1' ORDER BY id")
		var got []string
		for _, r := range rows {
			if r[6] != query(t, s, "SELECT @@server_id")[0][0] || len(r[7]) != len("1795808525") {
				t.Errorf("%q", r)
			}
			got = append(got, strings.Join(r[:6], "|"))
		}
		equal(t, got, []string{"tsdb1|tsdb1|t|ALTER|ALTER TABLE t CHANGE a b INT|-", "tsdb1|tsdb1|u|CREATE|CREATE TABLE u LIKE t|-"})
	})
}

// TestTSDBTakeOver: an instance without a history of its own begins with what
// another server kept, at an older cursor: what the source has now would not do.
func TestTSDBTakeOver(t *testing.T) {
	eachOf(t, hasGreeting, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "tsdb2", 4952)
		sc.exec("DROP DATABASE IF EXISTS tsdb2_store", "CREATE DATABASE tsdb2_store", "GRANT ALL ON tsdb2_store.* TO 'canal'@'%'", "CREATE TABLE t (id INT PRIMARY KEY, a INT, v VARCHAR(9))")
		sc.config.HistoryFile = filepath.Join(t.TempDir(), history.FileName)
		sc.config.Source.Archive = archive(t, s, s.Addr, "tsdb2_store", "tsdb2", 0)
		sc.begin(t.TempDir())
		sc.exec("ALTER TABLE t DROP a, ADD w BIGINT AFTER id")
		sc.rows()
		file, offset := place(t, s)
		sc.exec("INSERT INTO t VALUES (1,2,'x')", "DROP TABLE t", "CREATE TABLE t (name TEXT, id INT)", "INSERT INTO t VALUES ('y',2)")
		sc.rows()
		sc.leave()
		sc.config.HistoryFile = filepath.Join(t.TempDir(), history.FileName)
		sc.config.Start = binlog.StartConfig{File: file, Offset: offset}
		sc.begin(t.TempDir())
		equal(t, sc.rowLines(), []string{"t INSERT id=1 w=2 v=x", "t INSERT name=y id=2"})
		sc.leave()
		if rows := query(t, s, "SELECT count(*), count(DISTINCT binlog_file, binlog_offest) FROM tsdb2_store.meta_history")[0]; rows[0] != rows[1] {
			t.Errorf("%q", rows)
		}
	})
}

// TestTSDBDown: what cannot be kept is not handed on, and nothing is lost.
func TestTSDBDown(t *testing.T) {
	eachOf(t, hasGreeting, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "tsdb3", 4953)
		sc.exec("DROP DATABASE IF EXISTS tsdb3_store", "CREATE DATABASE tsdb3_store", "GRANT ALL ON tsdb3_store.* TO 'canal'@'%'", "CREATE TABLE t (id INT PRIMARY KEY)")
		p := harness.StartProxy(t, s.Addr)
		sc.config.HistoryFile = filepath.Join(t.TempDir(), history.FileName)
		sc.config.Source.Archive = archive(t, s, p.Addr, "tsdb3_store", "tsdb3", time.Nanosecond)
		sc.begin(t.TempDir())
		sc.exec("INSERT INTO t VALUES (1)")
		equal(t, sc.rowLines(), []string{"t INSERT id=1"})
		p.Cut()
		sc.exec("INSERT INTO t VALUES (2)", "ALTER TABLE t ADD a INT", "INSERT INTO t VALUES (3,3)")
		eventually(t, "the trouble is told", func() bool { return strings.Contains(sc.status().LastError, "canal.instance.tsdb.url") })
		p.Heal()
		equal(t, sc.rowLines(), []string{"t INSERT id=2", "t INSERT id=3 a=3"})
		// A snapshot comes before the first statement of a later second.
		for n := range 2 {
			time.Sleep(1100 * time.Millisecond)
			sc.exec(fmt.Sprintf("ALTER TABLE t ADD c%d INT", n))
			sc.rows()
		}
		snapshots := query(t, s, "SELECT binlog_timestamp, data FROM tsdb3_store.meta_snapshot WHERE binlog_timestamp > 0 ORDER BY id")
		if len(snapshots) != 2 || strings.Contains(snapshots[0][1], "c0") || !strings.Contains(snapshots[1][1], "c0") || strings.Contains(snapshots[1][1], "c1") {
			t.Errorf("%q", snapshots)
		}
		sc.leave()
	})
}
