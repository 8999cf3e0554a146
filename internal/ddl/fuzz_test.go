package ddl_test

import (
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/ddl"
	"github.com/canald/canald/internal/schema"
)

// modes are all that a fuzz target's byte can say.
func modes(b byte) ddl.Mode {
	return ddl.Mode{Schema: "d", ANSIQuotes: b&1 != 0, NoBackslashEscapes: b&2 != 0, MariaDB: b&4 != 0, LowerNames: b&8 != 0}
}

func seed(f *testing.F) {
	for i, c := range druidCases {
		f.Add([]byte(c.sql), byte(i))
	}
}

func FuzzDruid(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, sql []byte, b byte) {
		for _, r := range ddl.Druid(sql, modes(b)) {
			named := r.HasTable && r.Table != ""
			switch r.Kind {
			case ddl.Query:
				if r.HasTable {
					t.Errorf("a QUERY of table %q", r.Table)
				}
			case ddl.Delete, ddl.Update:
			default:
				if !named || !r.HasSchema {
					t.Errorf("%v without a name", r.Kind)
				}
			}
			if r.Kind == ddl.Rename && r.FromTable == "" {
				t.Error("RENAME of nothing")
			}
		}
	})
}

func FuzzSimple(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, sql []byte, b byte) {
		results := ddl.Simple(sql, modes(b))
		if len(results) != 1 || !results[0].HasSchema || results[0].HasTable != (results[0].Table != "") {
			t.Errorf("%+v", results)
		}
	})
}

func FuzzApply(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, sql []byte, b byte) {
		s, err := ddl.Read(sql, modes(b))
		if err != nil || s == nil {
			if s != nil {
				t.Error("a statement and an error")
			}
			return
		}
		mentioned := map[schema.Name]bool{}
		for _, n := range s.Mentions() {
			mentioned[n] = true
		}
		c := newCatalog(b&16 != 0, "d.t: id int key, a int, b varchar(10)", "d.n: x text")
		seen := map[schema.Name]bool{}
		for _, ch := range s.Apply(c) {
			switch {
			case seen[ch.Name]:
				t.Errorf("%v twice", ch.Name)
			case !mentioned[ch.Name] && !mentioned[schema.Name{Schema: ch.Name.Schema}]:
				t.Errorf("%v changes and is not mentioned", ch.Name)
			case ch.Unknown && ch.After != nil:
				t.Errorf("%v is known and not known", ch.Name)
			case ch.After != nil && (ch.After.Schema != ch.Name.Schema || ch.After.Name != ch.Name.Table || len(ch.After.Columns) == 0):
				t.Errorf("%v: %+v", ch.Name, ch.After)
			}
			seen[ch.Name] = true
		}
	})
}

// Reading takes linear time, whatever is repeated. A quarter of a million bytes take well
// under a second; a quadratic reader would need minutes.
func TestLinearTime(t *testing.T) {
	const size = 1 << 18
	for _, c := range []struct{ head, piece, tail string }{
		{"CREATE TABLE t (a INT, ", "(", ""},
		{"CREATE TABLE t (a INT ", "()", ")"},
		{"CREATE TABLE t (a INT ", "DEFAULT (", ")"},
		{"CREATE TABLE t (", "a INT, ", "b INT)"},
		{"CREATE TABLE t (a ENUM(", "'a',", "'b'))"},
		{"CREATE TABLE t (a INT) ", "/* */", "PARTITION /* x */ BY"},
		{"CREATE TABLE t (a INT) ", "ENGINE ", ""},
		{"CREATE TABLE t (a INT) ", "= ", ""},
		{"CREATE ", "OR ", "TABLE"},
		{"ALTER TABLE t ", "ADD a INT, ", "DROP b"},
		{"ALTER TABLE t ", ", ", ""},
		{"ALTER TABLE t ", "DEFAULT ", ""},
		{"ALTER TABLE t ADD IF ", "/**/", "NOT x"},
		{"ALTER TABLE t ADD a INT DEFAULT NEXT ", "# \n", "VALUE"},
		{"ALTER TABLE t ADD (", "a INT,", "b INT)"},
		{"ALTER TABLE t ", "DROP INDEX a, RENAME b, ", "ADD (c INT)"},
		{"DROP TABLE a", ", a", ""},
		{"DROP TABLE ", "a.", "b"},
		{"RENAME TABLE a TO b", ", a TO b", ""},
		{"RENAME TABLE a TO b", " TO b", ""},
		{"SET STATEMENT ", "a=1, ", "FOR DROP TABLE t"},
		{"", "SET STATEMENT FOR ", "DROP TABLE t"},
		{"", "/*!50000 ", "DROP TABLE t"},
		{"", "/*", ""},
		{"", "*/", ""},
		{"", "`", ""},
		{"", "'", ""},
		{"", "\\", ""},
		{"WITH ", "(", ""},
		{"UPDATE ", "(", ""},
		{"INSERT ", "INTO ", ""},
		{"CREATE INDEX i ", "ON ", "t"},
		{"CREATE DEFINER=", "(", "TABLE"},
		{"CREATE ", "DEFINER=a ", "TABLE"},
	} {
		sql := []byte(c.head + strings.Repeat(c.piece, size/len(c.piece)) + c.tail)
		start := time.Now()
		for i := range 2 {
			m := modes(byte(4 * i))
			ddl.Druid(sql, m)
			ddl.Simple(sql, m)
			if s, err := ddl.Read(sql, m); err == nil && s != nil {
				s.Mentions()
				s.Apply(newCatalog(true, "d.t: id int key, a int, b varchar(10)"))
			}
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s%s…%s: %v", c.head, c.piece, c.tail, d)
		}
	}
}
