package schema_test

import (
	"strings"
	"testing"

	"github.com/canald/canald/internal/schema"
)

func TestCleanTypeQuotes(t *testing.T) {
	for in, want := range map[string]string{
		"enum('/*','b') /*M!100301 COMPRESSED*/": "enum('/*','b')",
		"enum('it''s /* x */') /* c */":          "enum('it''s /* x */')",
		"set('a''','/*')":                        "set('a''','/*')",
		"int /* a */ unsigned /* b */":           "int  unsigned",
		"enum('zerofill')":                       "enum('zerofill')",
		"":                                       "",
	} {
		if got := schema.CleanType(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestUnsigned(t *testing.T) {
	for in, want := range map[string]bool{"int unsigned": true, "INT UNSIGNED": true, "int": false, "": false} {
		if schema.Unsigned(in) != want {
			t.Errorf("%q", in)
		}
	}
}

// Names that are no plain word, as a statement may quote them.
func TestMentionedOddNames(t *testing.T) {
	for _, c := range []struct {
		table, statement string
		stale            bool
	}{
		{"a-b", "ALTER TABLE `a-b` ADD x INT", true},
		{"a-b", "ALTER TABLE `A-B` ADD x INT", true},
		{"a-b", "ALTER TABLE `ab` ADD x INT", false},
		{"a`b", "ALTER TABLE `a``b` ADD x INT", true},
		{`a"b`, "ALTER TABLE `a\"b` ADD x INT", true},
		{`a"b`, `ALTER TABLE "a""b" ADD x INT`, true}, // ANSI_QUOTES
		{"a`b", "ALTER TABLE \"a`b\" ADD x INT", true},
		{"a b", "DROP TABLE IF EXISTS `x`,`a b`", true},
		{"$t_1", "ALTER TABLE $t_1 ADD x INT", true},
		{"t", "ALTER TABLE d.t/*c*/ADD x INT", true},
		{"t", "ALTER TABLE t2 ADD x INT", false},
	} {
		found := schema.Mentioned([]byte(c.statement), []schema.Name{{Schema: "d", Table: c.table}})
		if stale := len(found) == 1; stale != c.stale {
			t.Errorf("%s by %s: stale %v", c.table, c.statement, stale)
		}
	}
}

func TestMentionedSchemas(t *testing.T) {
	for _, c := range []struct {
		schema, statement string
		stale             bool
	}{
		{"shop", "DROP DATABASE shop", true},
		{"shop", "drop schema `SHOP`", true},
		{"shop-1", "DROP DATABASE `shop-1`", true},
		{"shop`1", "DROP DATABASE `shop``1`", true},
		{`shop"1`, `DROP DATABASE "shop""1"`, true},
		{"shop", "DROP DATABASE shop2", false},
		{"shop", "CREATE TABLE shop.x (a INT)", false},
	} {
		found := schema.Mentioned([]byte(c.statement), []schema.Name{{Schema: c.schema, Table: "t"}})
		if stale := len(found) == 1; stale != c.stale {
			t.Errorf("%s by %s: stale %v", c.schema, c.statement, stale)
		}
	}
}

func FuzzMentioned(f *testing.F) {
	f.Add("ALTER TABLE `a``b` ADD x INT", "a`b")
	f.Add("DROP DATABASE d", "t")
	f.Fuzz(func(t *testing.T, statement, name string) {
		names := []schema.Name{{Schema: "d", Table: name}}
		if n := len(schema.Mentioned([]byte(statement), names)); n > 1 {
			t.Errorf("%d of one table", n)
		}
		quoted := "ALTER TABLE `" + strings.ReplaceAll(name, "`", "``") + "` ADD x INT"
		if name != "" && len(schema.Mentioned([]byte(quoted), names)) != 1 {
			t.Errorf("%q is not mentioned by %q", name, quoted)
		}
	})
}
