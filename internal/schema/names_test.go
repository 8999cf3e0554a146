package schema_test

import (
	"slices"
	"testing"

	"github.com/canald/canald/internal/schema"
)

func TestMentioned(t *testing.T) {
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
		found := schema.Mentioned([]byte(c.statement), names)
		var want []schema.Name
		for _, i := range c.stale {
			want = append(want, names[i])
		}
		if !slices.Equal(found, want) {
			t.Errorf("%q: %v, want %v", c.statement, found, want)
		}
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
