package tsdb

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/canald/canald/internal/ddl"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
)

// A snapshot as a Java server writes it.
const javas = "{\"`t`\":\"CREATE TABLE `a` (\\n\\t`id` int NOT NULL AUTO_INCREMENT,\\n\\t`v` varchar(100) DEFAULT NULL,\\n\\tPRIMARY KEY (`id`)\\n) ENGINE = `InnoDB` " +
	"AUTO_INCREMENT = 4 DEFAULT CHARSET = `utf8mb4` DEFAULT COLLATE = `utf8mb4_0900_ai_ci`; \\nCREATE TABLE `b;x` (\\n\\t`id` int NOT NULL DEFAULT ';',\\n\\t`c` enum('a;','b''') DEFAULT NULL\\n); \\n\"," +
	"\"`other`\":\"CREATE TABLE `a` (\\n\\t`n` bigint unsigned\\n); \\n\"}"

func lines(all []*schema.Table) (out []string) {
	for _, t := range all {
		var columns []string
		for _, c := range t.Columns {
			text := c.Name + " " + c.Type
			if c.Key {
				text += " key"
			}
			columns = append(columns, text)
		}
		out = append(out, t.Schema+"."+t.Name+": "+strings.Join(columns, ", "))
	}
	return out
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func noShow(context.Context, schema.Name) (string, error) { return "", errors.New("no source") }

func TestSnapshot(t *testing.T) {
	c, err := readSnapshot(javas, ddl.Mode{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"other.a: n bigint unsigned", "t.a: id int key, v varchar(100)", "t.b;x: id int, c enum('a;','b''')"}
	same(t, lines(c.list()), want)
	// What is written is read again, with and without the source's help.
	for _, show := range []Show{noShow, func(_ context.Context, n schema.Name) (string, error) {
		if n.Schema == "other" {
			return "CREATE TABLE `a` (`n` bigint unsigned NOT NULL)", nil
		}
		return "CREATE TABLE `a` (`wrong` int)", nil
	}} {
		data, err := snapshot(t.Context(), c.list(), ddl.Mode{}, show)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readSnapshot(data, ddl.Mode{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, lines(again.list()), want)
	}
	if data, err := snapshot(t.Context(), c.list(), ddl.Mode{}, func(context.Context, schema.Name) (string, error) { return "", nil }); err != nil || data != "{\"`other`\":\"\",\"`t`\":\"\"}" {
		t.Errorf("of views: %s, %v", data, err)
	}
	for _, bad := range []string{"", "[]", `{"a": 1}`, "{"} {
		if _, err := readSnapshot(bad, ddl.Mode{}); !errors.Is(err, errSnapshot) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestApply(t *testing.T) {
	c, err := readSnapshot(javas, ddl.Mode{})
	if err != nil {
		t.Fatal(err)
	}
	m := ddl.Mode{Schema: "t"}
	for sql, understood := range map[string]bool{"ALTER TABLE a ADD w INT FIRST": true, "DROP TABLE `b;x`": true, "CREATE TABLE other.z LIKE other.a": true, "GRANT SELECT ON *.* TO x": true} {
		if c.apply(sql, m) != understood {
			t.Errorf("%s", sql)
		}
	}
	same(t, lines(c.list()), []string{"other.a: n bigint unsigned", "other.z: n bigint unsigned", "t.a: w INT, id int key, v varchar(100)"})
	if c.apply("ALTER TABLE other.a FROBNICATE (((", m) {
		if _, known := c.Table(schema.Name{Schema: "other", Table: "a"}); known {
			t.Error("a statement that nobody understands left its table as it was")
		}
	}
}

func TestBefore(t *testing.T) {
	from := position.Position{File: "b.000002", Offset: 100, ServerID: 5}
	withSet := from
	withSet.GTID = "0-1-1"
	for _, c := range []struct {
		from   position.Position
		offset uint64
		server string
		want   bool
	}{
		{from, 99, "5", true}, {from, 100, "5", false}, {withSet, 100, "5", true}, {from, 101, "5", false}, {from, 101, "6", true}, {withSet, 101, "5", false},
	} {
		if got := before(c.from, position.Position{File: "b.000002", Offset: c.offset}, c.server); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func FuzzSnapshot(f *testing.F) {
	f.Add(javas, "ALTER TABLE a ADD w INT; DROP TABLE b")
	f.Add("{}", "`';\\")
	f.Fuzz(func(t *testing.T, data, sql string) {
		c, err := readSnapshot(data, ddl.Mode{})
		if err != nil {
			c = catalog{}
		}
		for _, one := range split(sql) {
			c.apply(one, ddl.Mode{Schema: "t"})
		}
		if text, err := snapshot(t.Context(), c.list(), ddl.Mode{}, noShow); err != nil || text == "" {
			t.Errorf("%q, %v", text, err)
		}
	})
}
