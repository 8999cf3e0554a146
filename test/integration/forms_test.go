package integration

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
	"github.com/canald/canald/test/harness"
)

// spellings are types as a statement may spell them, for all versions.
var spellings = []string{
	"INTEGER", "INT(5)", "int4 UNSIGNED", "INT ZEROFILL", "BIGINT(10) UNSIGNED ZEROFILL", "BOOL", "BOOLEAN", "TINYINT", "TINYINT(1)", "TINYINT(1) UNSIGNED", "INT1(3)",
	"SMALLINT", "INT2 UNSIGNED", "MIDDLEINT", "MEDIUMINT(7)", "INT8", "DEC", "DEC(5)", "NUMERIC(7,3) UNSIGNED", "FIXED(4,1)", "DOUBLE PRECISION", "REAL", "FLOAT8",
	"FLOAT(10)", "FLOAT(30)", "FLOAT(7,3)", "FLOAT4", "DOUBLE(9,2) UNSIGNED", "BIT", "BIT(9)", "CHAR", "CHARACTER(3)", "NCHAR(4)", "NATIONAL CHAR(5)", "CHARACTER VARYING(6)",
	"NVARCHAR(7)", "NATIONAL VARCHAR(8)", "VARCHAR(9)", "BINARY", "BINARY(6)", "VARBINARY(5)", "CHAR(3) CHARACTER SET binary", "VARCHAR(3) CHARACTER SET binary",
	"TEXT(100)", "TEXT(60000)", "BLOB(70000)", "BLOB(5)", "LONG", "LONG VARCHAR", "LONG VARBINARY", "TINYTEXT", "MEDIUMBLOB", "LONGTEXT",
	"YEAR", "DATE", "TIME", "DATETIME", "TIMESTAMP NULL", "ENUM('a','it''s')", "SET('x','y')", "GEOMETRY", "POINT", "GEOMETRYCOLLECTION",
}

// TestServerTypes: mysqlType after a statement that was read from the binlog is
// what the server shows.
func TestServerTypes(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "forms1", 4821)
		sc.config.Source.ServerTypes = true
		sc.begin("")
		var columns, values []string
		for i, text := range spellings {
			columns = append(columns, fmt.Sprintf("c%02d %s", i, text))
			values = append(values, "NULL")
		}
		sc.exec("CREATE TABLE t ("+strings.Join(columns, ", ")+") DEFAULT CHARACTER SET utf8", "INSERT INTO t VALUES ("+strings.Join(values, ",")+")")
		var got, want []string
		for _, c := range sc.rows()[0].after {
			got = append(got, c.GetName()+" "+c.GetMysqlType())
		}
		for _, r := range query(t, s, "SELECT COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='forms1' AND TABLE_NAME='t' ORDER BY ORDINAL_POSITION") {
			want = append(want, r[0]+" "+schema.CleanType(r[1]))
		}
		equal(t, got, want)
	})
}

// TestPaddedBinary: the zeros that the binlog leaves out are there again.
func TestPaddedBinary(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "forms2", 4822)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY, b BINARY(6), v VARBINARY(6), c CHAR(4))")
		sc.config.Source.PaddedBinary = true
		sc.begin("")
		sc.exec("INSERT INTO t VALUES (1, 0x0001ff, 0x0001ff00, 'x'), (2, '', '', ''), (3, NULL, NULL, NULL), (4, 'abcdef', 'abcdef', 'abcd')")
		var got []string
		for _, r := range sc.rows() {
			line := []string{r.after[0].GetValue()}
			for _, c := range r.after[1:] {
				var raw []byte
				for _, ch := range c.GetValue() {
					raw = append(raw, byte(ch))
				}
				line = append(line, hex.EncodeToString(raw))
			}
			got = append(got, strings.Join(line, " "))
		}
		equal(t, got, []string{"1 0001ff000000 0001ff00 78", "2 000000000000  ", "3   ", "4 616263646566 616263646566 61626364"})
	})
}

// TestServerJSON: documents are the text that the server shows.
func TestServerJSON(t *testing.T) {
	eachOf(t, hasJSON, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "forms3", 4823)
		sc.exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, j JSON)")
		sc.config.Source.ServerJSON = true
		sc.begin("")
		documents := []string{
			`'{"a": 1.0, "b": -0.0, "c": 100.0, "d": 1e20, "e": 1e15, "f": 1e14, "g": 123456789012345.5, "h": 1e-7, "i": 1.5e-14, "j": 1e-15, "k": 1.7976931348623157e308, "l": 5e-324, "m": -2.5e-300}'`,
			`'[999999999999999.9, 1234567890123456.7, 0.1, 0.30000000000000004, 1e16, 123456.789e3, -1e-10]'`,
			`JSON_OBJECT('d', CAST('2024-02-29' AS DATE), 't', CAST('-100:00:00.5' AS TIME(1)), 'z', CAST('00:00:00' AS TIME), 'dt', CAST('2024-02-29 01:02:03.456' AS DATETIME(3)))`,
			`JSON_OBJECT('n', CAST(12.5 AS DECIMAL(10,3)), 'o', CAST(0 AS DECIMAL(5,2)), 'b', CAST(0x00ff10 AS BINARY), 'bit', b'101')`,
			`JSON_QUOTE(CONVERT(CONCAT('q"', CHAR(8), CHAR(12), CHAR(10), CHAR(1), CHAR(127), 0xC2A0, '/\\\\', 0xE4B8AD) USING utf8mb4))`,
			`'{"k\\u0008\\u007f": [true, false, null, [], {}]}'`,
		}
		for _, d := range documents {
			sc.exec("SET NAMES utf8mb4", "INSERT INTO t (j) VALUES ("+d+")")
		}
		sc.exec("SET binlog_row_value_options=PARTIAL_JSON", `UPDATE t SET j = JSON_REPLACE(j, '$.k', 2e20) WHERE id = 1`)
		sc.config.Source.WholeJSON = true
		var got, want []string
		for _, r := range sc.rows()[:len(documents)] {
			got = append(got, r.after[1].GetValue())
		}
		sc.exec(`UPDATE t SET j = JSON_REPLACE(j, '$.k', 1.7976931348623157e308) WHERE id = 1`)
		for _, r := range query(t, s, "SELECT j FROM forms3.t ORDER BY id") {
			want = append(want, r[0])
		}
		equal(t, got, want)
	})
}

// TestStatementForms: what statements look like by the options for them.
func TestStatementForms(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "forms4", 4824)
		sc.exec("CREATE TABLE a (id INT)", "CREATE TABLE b (id INT)", "CREATE TABLE c (id INT)", "DROP DATABASE IF EXISTS `forms4-x`")
		sc.config.Filter = ".*"
		c := &sc.config.Source
		c.AllStatements, c.StatementNames, c.PlainNames, c.StatementTables = true, true, true, true
		sc.begin("")
		sc.exec("CREATE DATABASE `forms4-x`", "DROP TABLE a, b", "RENAME TABLE c TO d", "ANALYZE TABLE d", "ALTER TABLE d ADD x LONG VARCHAR", "DROP DATABASE `forms4-x`")
		var got []string
		for _, e := range withoutQueries(t, sc.entries()) {
			if h := e.GetHeader(); e.GetEntryType() == canalpb.EntryType_ROWDATA {
				line := []string{h.GetEventType().String(), h.GetSchemaName() + "." + h.GetTableName()}
				for _, p := range h.GetProps() {
					line = append(line, p.GetKey()+"="+p.GetValue())
				}
				got = append(got, strings.Join(line, " "))
			}
		}
		equal(t, got, []string{
			"QUERY forms4-x. tables=[]",
			`ERASE forms4.a tables=[{"schema":"forms4","table":"a","type":"ERASE"},{"schema":"forms4","table":"b","type":"ERASE"}]`,
			`RENAME forms4.d tables=[{"schema":"forms4","table":"d","type":"RENAME","fromSchema":"forms4","fromTable":"c"}]`,
			"QUERY . tables=[]",
			`ALTER forms4.d tables=[{"schema":"forms4","table":"d","type":"ALTER"}]`,
			"QUERY forms4-x. tables=[]",
		})
	})
}

// TestXAOnePhase: a commit without a second phase can be told.
func TestXAOnePhase(t *testing.T) {
	// A MariaDB logs a commit in one phase as that of an ordinary transaction.
	eachOf(t, func(v harness.Version) bool { return v.MySQL() && v.AtLeast(5, 7) }, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "forms5", 4825)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY)")
		sc.config.Source.XAOnePhase = true
		sc.begin("")
		sc.exec("XA START 'xid1','bq'", "INSERT INTO t VALUES (1)", "XA END 'xid1','bq'", "XA COMMIT 'xid1','bq' ONE PHASE",
			"XA START 'xid2'", "INSERT INTO t VALUES (2)", "XA END 'xid2'", "XA PREPARE 'xid2'", "XA COMMIT 'xid2'")
		var got []string
		for _, e := range withoutQueries(t, sc.entries()) {
			if e.GetHeader().GetEventType() == canalpb.EventType_XACOMMIT {
				c := change(t, e)
				got = append(got, c.GetSql()+"; "+c.GetProps()[0].GetValue()+";"+c.GetProps()[1].GetValue())
			}
		}
		equal(t, got, []string{
			"XA COMMIT X'78696431',X'6271',1; XA COMMIT; X'78696431',X'6271',1",
			"XA COMMIT X'78696432',X'',1; XA COMMIT; X'78696432',X'',1",
		})
	})
}

// TestLoadData: a LOAD DATA that is not logged as rows is at least told of.
func TestLoadData(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "forms6", 4826)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1),(2)")
		file := filepath.Join(s.Dir, "tmp", "forms6.txt")
		sc.config.Source.LoadData, sc.config.Source.Formats = true, nil
		sc.begin("")
		sc.exec("SELECT * INTO OUTFILE '"+file+"' FROM t", "DELETE FROM t", "SET SESSION binlog_format=STATEMENT", "LOAD DATA INFILE '"+file+"' INTO TABLE t (id)")
		var got []string
		for _, e := range withoutQueries(t, sc.entries()) {
			if h := e.GetHeader(); e.GetEntryType() == canalpb.EntryType_ROWDATA {
				c := change(t, e)
				got = append(got, fmt.Sprintf("%s %s.%s ddl=%t load=%t", h.GetEventType(), h.GetSchemaName(), h.GetTableName(), c.GetIsDdl(), strings.HasPrefix(c.GetSql(), "LOAD DATA")))
			}
		}
		equal(t, got, []string{"DELETE forms6.t ddl=false load=false", "INSERT forms6.t ddl=false load=true"})
	})
}

// TestRDS: what an RDS of Alibaba Cloud has beside a MySQL. There is none to test
// with, so a proxy makes the server answer as if it had a variable of that kind,
// and a structure that was set by hand lacks the column that nobody declared.
func TestRDS(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "forms7", 4827)
		sc.exec("CREATE TABLE t (v VARCHAR(9), hidden BIGINT)", "CREATE DATABASE IF NOT EXISTS test", "DROP TABLE IF EXISTS test.heartbeat",
			"CREATE TABLE test.heartbeat (a SMALLINT, b INT)")
		p := harness.StartProxy(t, sc.config.Source.Addr)
		p.Replace(`'rds\_%'`, `'log\_%'`)
		sc.config.Source.Addr, sc.config.Source.TLS = p.Addr, binlog.TLSDisabled
		sc.config.Filter = `forms7\..*,test\..*`
		sc.config.HistoryFile = filepath.Join(t.TempDir(), "structures.db")
		dir := t.TempDir()
		sc.begin(dir)
		sc.exec("INSERT INTO t VALUES ('now', 1)")
		equal(t, sc.rowLines(), []string{"t INSERT v=now hidden=1"})
		sc.leave()
		file, offset := place(t, s)
		h, err := history.Open(sc.config.HistoryFile, history.Keep{})
		if err != nil {
			t.Fatal(err)
		}
		declared := &schema.Table{Schema: "forms7", Name: "t", Columns: []schema.Column{{Name: "v", Type: "varchar(9)"}}}
		if err := errors.Join(h.Set(history.Setting{At: position.Position{File: file, Offset: offset}, Table: declared}), h.Close()); err != nil {
			t.Fatal(err)
		}
		sc.begin(dir)
		sc.exec("INSERT INTO t VALUES ('x', -5)", "UPDATE t SET v = 'y', hidden = 7 WHERE v = 'x'", "INSERT INTO test.heartbeat VALUES (1, 2)")
		equal(t, sc.rowLines(), []string{
			"t INSERT v=x __#alibaba_rds_row_id#__=-5", "t UPDATE v=x __#alibaba_rds_row_id#__=-5 -> v=y* __#alibaba_rds_row_id#__=7", "heartbeat INSERT id=1 ts=2",
		})
	})
}
