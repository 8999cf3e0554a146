package schema_test

import (
	"testing"

	"github.com/canald/canald/internal/schema"
)

func TestInvalidate(t *testing.T) {
	names := []schema.Name{
		{Schema: "shop", Table: "orders"},
		{Schema: "shop", Table: "order_items"},
		{Schema: "other", Table: "orders"},
		{Schema: "odd", Table: "na`me x"},
		{Schema: "odd", Table: "中文"},
	}
	for _, c := range []struct {
		statement string
		stale     []int // of names
	}{
		{"ALTER TABLE orders ADD x INT", []int{0, 2, 4}},
		{"alter table `shop`.`ORDERS` add x int", []int{0, 2, 4}},
		{"RENAME TABLE a TO order_items", []int{1, 4}},
		{"/* orders */ DROP TABLE x", []int{0, 2, 4}},
		{"ALTER TABLE ordersx ADD x INT", []int{4}},
		{"DROP DATABASE shop", []int{0, 1, 4}},
		{"CREATE DATABASE IF NOT EXISTS elsewhere", []int{4}},
		{"ALTER TABLE odd.`na``me x` ADD y INT", []int{3, 4}},
		{"ALTER TABLE 表 ADD y INT", []int{0, 1, 2, 3, 4}}, // in any character set
		{"", []int{4}},
	} {
		tables := schema.NewTables()
		for _, n := range names {
			tables.Put(&schema.Table{Schema: n.Schema, Name: n.Table})
		}
		if n := tables.Invalidate([]byte(c.statement)); n != len(c.stale) {
			t.Errorf("%q: %d tables are stale, want %d", c.statement, n, len(c.stale))
		}
		for i, n := range names {
			want := false
			for _, s := range c.stale {
				want = want || s == i
			}
			if stale := tables.Get(n) == nil; stale != want {
				t.Errorf("%q: %v is stale: %v, want %v", c.statement, n, stale, want)
			}
		}
	}
}

func TestPutAgain(t *testing.T) {
	tables := schema.NewTables()
	name := schema.Name{Schema: "s", Table: "t"}
	first := &schema.Table{Schema: "s", Name: "t"}
	tables.Put(first)
	tables.Invalidate([]byte("drop table t"))
	if tables.Get(name) != nil {
		t.Fatal("stale structure in force")
	}
	second := &schema.Table{Schema: "s", Name: "t"}
	tables.Put(second)
	if tables.Get(name) != second || tables.Len() != 1 {
		t.Error("new structure is not in force")
	}
	tables.Remove(name)
	if tables.Get(name) != nil {
		t.Error("removed structure in force")
	}
}

func TestCleanType(t *testing.T) {
	for in, want := range map[string]string{
		"int(11)":                             "int(11)",
		"int(6) unsigned zerofill":            "int(6) unsigned zerofill",
		"varchar(10) /*M!100301 COMPRESSED*/": "varchar(10)",
		"timestamp /* mariadb-5.3 */":         "timestamp",
		"enum('a /* b */','c')":               "enum('a /* b */','c')",
		"datetime(3) /* mariadb-5.3 */":       "datetime(3)",
		"float zerofill":                      "float unsigned zerofill",
		"varchar(5) /*!50606 unclosed":        "varchar(5)",
	} {
		if got := schema.CleanType(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}
