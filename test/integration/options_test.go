package integration

import (
	"testing"
	"time"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

// TestColumnOptions: what differs from Canal's form when it is asked for.
func TestColumnOptions(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "options1", 4811)
		sc.exec("CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, d DECIMAL(10,2), e ENUM('x','it''s'), st SET('a','b','c'), ts TIMESTAMP NULL, l VARCHAR(9) CHARACTER SET latin1)")
		c := &sc.config.Source
		c.FullDecimals, c.MemberNames, c.StableTypes, c.ColumnCharsets, c.MariaBegin = true, true, true, true, true
		sc.config.Location = time.FixedZone("", 3600)
		sc.begin("")
		sc.exec("INSERT INTO t VALUES (1,1,'it''s','a,c','2024-01-01 00:00:00','é'),(4000000000,1.5,NULL,'',NULL,NULL)")
		entries := withoutQueries(t, sc.entries())
		charset := s.MySQL() && s.AtLeast(8, 0) // a MariaDB tells nothing by default
		l := "é"
		if !charset {
			l = "\uFFFD"
		}
		equal(t, story(t, entries), []string{"BEGIN", "t INSERT id=1 d=1.00 e=it's st=a,c ts=2024-01-01 01:00:00 l=" + l, "t INSERT id=4000000000 d=1.50 e=NULL st= ts=NULL l=NULL", "END"})
		for _, e := range entries {
			if e.GetEntryType() != canalpb.EntryType_ROWDATA {
				continue
			}
			for _, r := range change(t, e).GetRowDatas() {
				for i, want := range []int32{-5, 3, 1, 1, 93, 12} {
					if got := r.GetAfterColumns()[i].GetSqlType(); got != want {
						t.Errorf("%s: sqlType %d, want %d", r.GetAfterColumns()[i].GetName(), got, want)
					}
				}
			}
		}
	})
}

// TestStatementFilters: what passes by name and by kind, in both ways of reading statements.
func TestStatementFilters(t *testing.T) {
	statements := []string{
		"CREATE TABLE mine (id INT)", "CREATE TABLE other (id INT)", "RENAME TABLE mine TO elsewhere", "RENAME TABLE other TO nobody",
		"CREATE VIEW v AS SELECT 1", "CREATE DATABASE filters1_x", "DROP DATABASE filters1_x", "DROP TABLE elsewhere, nobody",
	}
	each(t, func(t *testing.T, s *harness.Server) {
		for _, c := range []struct {
			name string
			set  func(sc *scene)
			want []string
		}{
			{"by name", func(*scene) {}, []string{"CREATE mine", "RENAME elsewhere", "QUERY ", "QUERY "}},
			{"without DCL", func(sc *scene) { sc.config.Source.SkipDCL = true }, []string{"CREATE mine", "RENAME elsewhere"}},
			{"without DDL", func(sc *scene) { sc.config.Source.SkipDDL = true }, nil},
			{"simple", func(sc *scene) { sc.config.Source.Simple = true }, []string{"CREATE mine", "RENAME elsewhere", "QUERY ", "QUERY ", "QUERY "}},
		} {
			t.Run(c.name, func(t *testing.T) {
				sc := newScene(t, s, "filters1", 4812)
				sc.config.Filter = `filters1\.(mark|mine)`
				c.set(sc)
				sc.begin("")
				sc.exec(statements...)
				var got []string
				for _, e := range withoutQueries(t, sc.entries()) {
					h := e.GetHeader()
					if e.GetEntryType() == canalpb.EntryType_ROWDATA {
						got = append(got, h.GetEventType().String()+" "+h.GetTableName())
					}
				}
				equal(t, got, c.want)
			})
		}
	})
}

// TestShownColumns: columns that are not wanted are left out, the others keep their index.
func TestShownColumns(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "columns1", 4813)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY, secret VARCHAR(9), note TEXT, n INT)")
		sc.config.BlackFields = map[string]map[string]bool{"COLUMNS1.T": {"SECRET": true, "NOTE": true}}
		sc.begin("")
		sc.exec("INSERT INTO t VALUES (1,'x','y',2),(2,NULL,NULL,3)", "UPDATE t SET secret='z', n=4 WHERE id=1", "DELETE FROM t WHERE id=2")
		rows := sc.rows()
		var lines []string
		for _, r := range rows {
			lines = append(lines, r.String())
			for _, c := range append(r.before, r.after...) {
				if want := map[string]int32{"id": 0, "n": 3}[c.GetName()]; c.GetIndex() != want {
					t.Errorf("%s has index %d, want %d", c.GetName(), c.GetIndex(), want)
				}
			}
		}
		equal(t, lines, []string{"t INSERT id=1 n=2", "t INSERT id=2 n=3", "t UPDATE id=1 n=2 -> id=1 n=4*", "t DELETE id=2 n=3"})
	})
}

// TestWholeJSON: partial updates applied are what the source holds.
func TestWholeJSON(t *testing.T) {
	eachOf(t, hasJSON, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "wholejson1", 4814)
		sc.exec("CREATE TABLE t (id INT PRIMARY KEY, j JSON, k JSON, n INT)",
			`INSERT INTO t VALUES (1, '{"b": 1, "d": "text that is long enough to be worth a diff", "c": {"x": "old", "list": [1, 2, {"deep": [3]}]}, "ü b\\"c": null}', '{"same": [1,2]}', 0)`)
		sc.config.Source.WholeJSON = true
		sc.begin("")
		var want []string
		for _, set := range []string{
			`j = JSON_REPLACE(j, '$.b', 2.5, '$.c.x', 'new "one"')`,
			`j = JSON_SET(j, '$.c.y', CAST('{"zz": 1, "a": [true, null]}' AS JSON), '$."e f"', 'ä')`,
			`j = JSON_SET(JSON_REMOVE(j, '$.c.list[0]'), '$.c.list[1].deep[0]', 99)`,
			`j = JSON_REMOVE(j, '$.b'), n = 5`,
			`j = JSON_REPLACE(j, '$."ü b\\"c"', 'x'), k = JSON_SET(k, '$.same[0]', 7)`,
			`j = JSON_REPLACE(j, '$.d', 'short')`,
			`n = 6`,
		} {
			sc.exec("SET binlog_row_value_options=PARTIAL_JSON", "UPDATE t SET "+set)
			row := query(t, s, "SELECT j, k FROM wholejson1.t")[0]
			want = append(want, row[0]+" "+row[1])
		}
		var got []string
		for _, r := range sc.rows() {
			got = append(got, r.after[1].GetValue()+" "+r.after[2].GetValue())
			if r.after[2].GetUpdated() != (r.before[2].GetValue() != r.after[2].GetValue()) {
				t.Errorf("updated of an unchanged document: %v", r)
			}
		}
		equal(t, got, want)
	})
}
