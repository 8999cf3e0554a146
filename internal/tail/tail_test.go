package tail_test

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/tail"
)

func TestParseSource(t *testing.T) {
	const all = `.*\..*`
	for _, c := range []struct {
		url  string
		want tail.Source
		addr string // when completed
		err  string
	}{
		{url: "mysql://root@db", want: tail.Source{Host: "db", User: "root", TLS: "PREFERRED", Filter: all}, addr: "db:3306"},
		{url: "mysql://", want: tail.Source{TLS: "PREFERRED", Filter: all}},
		{url: "mysql:///shop", want: tail.Source{TLS: "PREFERRED", Filter: `shop\..*`}},
		{url: "mysql://joe:p%40ss@w@[::1]:3307/shop", want: tail.Source{Host: "::1", Port: "3307", User: "joe", Password: "p@ss@w", HasPassword: true, TLS: "PREFERRED", Filter: `shop\..*`}, addr: "[::1]:3307"},
		{url: "mysql://[fe80::1]", want: tail.Source{Host: "fe80::1", TLS: "PREFERRED", Filter: all}, addr: "[fe80::1]:3306"},
		{url: "mysql://joe:@db:1/shop.order*,crm.a.b?tls=required", want: tail.Source{Host: "db", Port: "1", User: "joe", HasPassword: true, TLS: "REQUIRED", Filter: `shop\.order.*,crm\.a\.b`}, addr: "db:1"},
		{url: "mysql://db?tls=verify_identity", want: tail.Source{Host: "db", TLS: "VERIFY_IDENTITY", Filter: all}, addr: "db:3306"},
		{url: "mysql://db/,,", want: tail.Source{Host: "db", TLS: "PREFERRED", Filter: all}, addr: "db:3306"},
		{url: "mysql://db/a%2Bb.(c)", want: tail.Source{Host: "db", TLS: "PREFERRED", Filter: `a\+b\.\(c\)`}, addr: "db:3306"},
		{url: "db:3306", err: "mysql://user@host:port"},
		{url: "mysqls://joe:secret1@db", err: "mysql://user@host:port"},
		{url: "mysql://joe@", want: tail.Source{User: "joe", TLS: "PREFERRED", Filter: all}},
		{url: "mysql://joe:secret1@db:port", err: "port is no number"},
		{url: "mysql://joe:secret1@db:65536", err: "port is no number"},
		{url: "mysql://a:b:c", err: "colon"},
		{url: "mysql://joe:secret1%zz@db", err: "bad %XX"},
		{url: "mysql://joe:secret1/more@db", err: "%2F"},
		{url: "mysql://joe:1?secret1=2@db", err: "%3F"},
		{url: "mysql://joe:1@db#secret1@db", err: "%23"},
		{url: "mysql://db?tls=maybe", err: "DISABLED"},
		{url: "mysql://db?ssl=1", err: `"ssl" is no option`},
		{url: "mysql://db?%zz", err: "behind the ?"},
		{url: "mysql://db/%zz", err: "tables have a bad"},
	} {
		got, err := tail.ParseSource(c.url)
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", c.url, err)
			continue
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: error %v, want %q", c.url, err, c.err)
		case err != nil && strings.Contains(err.Error(), "secret1"):
			t.Errorf("a password is shown: %v", err)
		}
		if err != nil {
			continue
		}
		if got.Host != c.want.Host || got.Port != c.want.Port || got.User != c.want.User || got.Password != c.want.Password ||
			got.HasPassword != c.want.HasPassword || got.TLS != c.want.TLS || got.Filter != c.want.Filter {
			t.Errorf("%s: %+v", c.url, got)
		}
		if err := got.Complete(nil); (err == nil) != (c.addr != "") || err == nil && got.Addr() != c.addr {
			t.Errorf("%s: address %s, %v; want %q", c.url, got.Addr(), err, c.addr)
		}
	}
}

func TestComplete(t *testing.T) {
	options := map[string]string{"host": "db2", "port": "3308", "user": "ann", "password": "pw"}
	for url, want := range map[string]string{
		"mysql://":                 "ann pw db2:3308",
		"mysql://joe@":             "joe pw db2:3308",
		"mysql://joe:own@db1:3307": "joe own db1:3307",
		"mysql://joe:@db1":         "joe  db1:3308",
	} {
		s, err := tail.ParseSource(url)
		if err == nil {
			err = s.Complete(options)
		}
		if got := s.User + " " + s.Password + " " + s.Addr(); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", url, got, err, want)
		}
	}
	s, err := tail.ParseSource("mysql://db")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(map[string]string{"port": "x"}); err == nil {
		t.Error("a port that is none, and no error")
	}
}

func TestParseCanal(t *testing.T) {
	for text, want := range map[string]tail.CanalAddress{
		"host/example":             {Addr: "host:11111", Destination: "example"},
		"canal://host:1/example":   {Addr: "host:1", Destination: "example"},
		"zk://a:1,b/example":       {ZooKeeper: "a:1,b", Destination: "example"},
		"zk://a:1,b:2/x/y/example": {ZooKeeper: "a:1,b:2/x/y", Destination: "example"},
	} {
		if got, err := tail.ParseCanal(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"host:11111", "", "/example", "host:0/example", "ho st:1/example", "zk://", "zk://a:1", "zk:///example", "zk://a:1/"} {
		if _, err := tail.ParseCanal(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestParseOptionFile(t *testing.T) {
	m := tail.ParseOptionFile("!include x\n[mysqld]\nuser=mysql\n[client]\n# c\nuser = joe\npassword=\"a # b\" # c\nport=3307 # old\nhost\nsocket=/s\n[other]\npassword=x\n[ client ]\nhost='db\\s1'\n")
	for k, want := range map[string]string{"user": "joe", "password": "a # b", "port": "3307", "host": "db 1"} {
		if m[k] != want {
			t.Errorf("%s: %q, want %q", k, m[k], want)
		}
	}
	if len(m) != 4 {
		t.Errorf("more than what is used: %q", m)
	}
	if _, ok := tail.ParseOptionFile("[client]\npassword\n")["password"]; ok {
		t.Error("a password alone is a wish to be asked")
	}
	if v, ok := tail.ParseOptionFile("[client]\npassword=\n")["password"]; !ok || v != "" {
		t.Error("an empty password is one")
	}
}

func column(index int32, name, kind, value string, set ...func(*canalpb.Column)) *canalpb.Column {
	c := &canalpb.Column{Index: new(index), Name: new(name), MysqlType: new(kind), Value: new(value)}
	for _, f := range set {
		f(c)
	}
	return c
}

func key(c *canalpb.Column)     { c.IsKey = new(true) }
func updated(c *canalpb.Column) { c.Updated = new(true) }
func null(c *canalpb.Column)    { c.IsNull, c.Value = new(true), nil }

func entry(t *testing.T, kind canalpb.EventType, rows ...*canalpb.RowData) *canalpb.Entry {
	t.Helper()
	change := &canalpb.RowChange{EventType: &kind, RowDatas: rows}
	raw, err := proto.Marshal(change)
	if err != nil {
		t.Fatal(err)
	}
	return &canalpb.Entry{
		EntryType: canalpb.EntryType_ROWDATA.Enum(), StoreValue: raw,
		Header: &canalpb.Header{LogfileName: new("mysql-bin.000001"), LogfileOffset: new(int64(4)), SchemaName: new("shop"), TableName: new("or`der"), ExecuteTime: new(int64(1700000000000))},
	}
}

func TestForms(t *testing.T) {
	row := func() []*canalpb.Column {
		return []*canalpb.Column{
			column(0, "id", "int(11)", "7", key), column(1, "note", "varchar(20)", "it's\n\x1b[2J"), column(2, "raw", "blob", "\x00\u00ff"),
			column(3, "gone", "text", "", null), column(4, "price", "decimal(10,2)", "1.50"),
		}
	}
	after := row()
	after[1] = column(1, "note", "varchar(20)", "new", updated)
	after[3] = column(3, "gone", "text", "here", updated)
	insert := entry(t, canalpb.EventType_INSERT, &canalpb.RowData{AfterColumns: row()})
	update := entry(t, canalpb.EventType_UPDATE, &canalpb.RowData{BeforeColumns: row(), AfterColumns: after})
	remove := entry(t, canalpb.EventType_DELETE, &canalpb.RowData{BeforeColumns: row()[1:]})
	for _, c := range []struct {
		name string
		form tail.Form
		e    *canalpb.Entry
		want string
	}{
		{"insert", tail.Text, insert, "+ shop.or`der id=7 note='it's\\n\\u001b[2J' raw=0x00ff gone=NULL price=1.50\n"},
		{"update", tail.Text, update, "~ shop.or`der id=7 note: 'it's\\n\\u001b[2J' → 'new' gone: NULL → 'here'\n"},
		{"delete", tail.Text, remove, "- shop.or`der note='it's\\n\\u001b[2J' raw=0x00ff gone=NULL price=1.50\n"},
		{"insert sql", tail.SQL, insert, "INSERT INTO `shop`.`or``der` (`id`, `note`, `raw`, `gone`, `price`) VALUES (7, _utf8mb4 x'697427730a1b5b324a', x'00ff', NULL, 1.50);\n"},
		{"update sql", tail.SQL, update, "UPDATE `shop`.`or``der` SET `note` = 'new', `gone` = 'here' WHERE `id` <=> 7 LIMIT 1;\n"},
		{"delete sql", tail.SQL, remove, "DELETE FROM `shop`.`or``der` WHERE `note` <=> _utf8mb4 x'697427730a1b5b324a' COLLATE utf8mb4_bin AND `raw` <=> x'00ff' AND `gone` IS NULL AND `price` <=> 1.50 LIMIT 1;\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			p := &tail.Printer{W: &b, Form: c.form}
			if err := p.Print(c.e); err != nil {
				t.Fatal(err)
			}
			got := b.String()
			if c.form == tail.Text {
				_, got, _ = strings.Cut(got, " ") // the time
			}
			if got != c.want || p.Rows != 1 {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
	var b bytes.Buffer
	if err := (&tail.Printer{W: &b, Form: tail.JSON}).Print(update); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Type          string
		Key           []string
		Before, After map[string]any
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Type != "UPDATE" || len(got.Key) != 1 || got.Before["gone"] != nil || got.After["gone"] != "here" || got.After["id"] != 7.0 || got.After["raw"] != "0x00ff" || got.Before["note"] != "it's\n\x1b[2J" {
		t.Errorf("JSON %s", &b)
	}
}

func TestLimitAndWidth(t *testing.T) {
	var b bytes.Buffer
	p := &tail.Printer{W: &b, Most: 1, Width: 5, Color: true}
	r := &canalpb.RowData{AfterColumns: []*canalpb.Column{column(0, "t", "text", "täglich")}}
	if err := p.Print(entry(t, canalpb.EventType_INSERT, r, r)); err != nil {
		t.Fatal(err)
	}
	if !p.Full() || strings.Count(b.String(), "\n") != 1 || !strings.Contains(b.String(), "t='tägli…'") || !strings.Contains(b.String(), "\x1b[32m") {
		t.Errorf("%q", &b)
	}
}

// TestValues shows one value of each kind in the three forms.
func TestValues(t *testing.T) {
	blob := func(c *canalpb.Column) { c.SqlType = new(int32(2004)) }
	for _, c := range []struct {
		name, kind, value string
		set               func(*canalpb.Column)
		text, json, sql   string
		match             string // in a WHERE without a key; empty: c <=> sql
	}{
		{name: "int", kind: "int(11)", value: "-7", text: "-7", json: "-7", sql: "-7"},
		{name: "bigint", kind: "bigint unsigned", value: "18446744073709551615", text: "18446744073709551615", json: "18446744073709551615", sql: "18446744073709551615"},
		{name: "decimal", kind: "decimal(10,2)", value: "-2.0", text: "-2.0", json: "-2.0", sql: "-2.0"},
		{name: "double", kind: "double", value: "1.0E-4", text: "1.0E-4", json: "1.0E-4", sql: "1.0E-4"},
		{name: "float", kind: "float", value: "0.1", text: "0.1", json: "0.1", sql: "0.1", match: "ABS(`c` - 0.1) <= 1e-7 * ABS(0.1)"},
		{name: "year", kind: "year(4)", value: "2024", text: "2024", json: "2024", sql: "2024"},
		{name: "year zero", kind: "year(4)", value: "0000", text: "'0000'", json: `"0000"`, sql: "'0000'"},
		{name: "bit", kind: "bit(64)", value: "18446744073709551615", text: "18446744073709551615", json: "18446744073709551615", sql: "18446744073709551615"},
		{name: "empty number", kind: "int", value: "", text: "''", json: `""`, sql: "''"},
		{name: "datetime", kind: "datetime(3)", value: "2024-01-02 03:04:05.678", text: "'2024-01-02 03:04:05.678'", json: `"2024-01-02 03:04:05.678"`, sql: "'2024-01-02 03:04:05.678'"},
		{name: "text", kind: "varchar(9)", value: "a<b>\\'", text: "'a<b>\\''", json: `"a<b>\\'"`, sql: `'a<b>\\\''`, match: "`c` <=> 'a<b>\\\\\\'' COLLATE utf8mb4_bin"},
		{name: "escape", kind: "text", value: "\u009b2J\u202e", text: `'\u009b2J\u202e'`, json: `"\u009b2J\u202e"`, sql: "_utf8mb4 x'c29b324ae280ae'", match: "`c` <=> _utf8mb4 x'c29b324ae280ae' COLLATE utf8mb4_bin"},
		{name: "tag", kind: "text", value: "\U000e0001", text: `'\U000e0001'`, json: `"\udb40\udc01"`, sql: "_utf8mb4 x'f3a08081'", match: "`c` <=> _utf8mb4 x'f3a08081' COLLATE utf8mb4_bin"},
		{name: "lines", kind: "text", value: "a\r\n\tb", text: `'a\r\n\tb'`, json: `"a\r\n\tb"`, sql: `'a\r\n\tb'`, match: "`c` <=> 'a\\r\\n\\tb' COLLATE utf8mb4_bin"},
		{name: "emoji", kind: "text", value: "\U0001f600", text: "'\U0001f600'", json: "\"\U0001f600\"", sql: "'\U0001f600'", match: "`c` <=> '\U0001f600' COLLATE utf8mb4_bin"},
		{name: "binary", kind: "binary(4)", value: "\u0000\u00ff", text: "0x00ff0000", json: `"0x00ff0000"`, sql: "x'00ff0000'"},
		{name: "empty blob", kind: "blob", value: "", text: "0x", json: `"0x"`, sql: "x''"},
		{name: "bytes by their code", kind: "long varchar", value: "\u00e9", set: blob, text: "0xe9", json: `"0xe9"`, sql: "x'e9'"},
		{name: "point", kind: "point", value: "\u0001", text: "0x01", json: `"0x01"`, sql: "x'01'"},
		{name: "enum", kind: "enum('new','it''s, so)','c')", value: "2", text: "'it's, so)'", json: `"it's, so)"`, sql: "2"},
		{name: "enum without a member", kind: "enum('a')", value: "0", text: "''", json: `""`, sql: "0"},
		{name: "enum out of range", kind: "enum('a')", value: "9", text: "'9'", json: `"9"`, sql: "9"},
		{name: "enum by name", kind: "enum('a')", value: "a", text: "'a'", json: `"a"`, sql: "'a'"},
		{name: "enum of a broken type", kind: "enum('a", value: "1", text: "'1'", json: `"1"`, sql: "1"},
		{name: "set", kind: "set('a','b','c')", value: "5", text: "'a,c'", json: `"a,c"`, sql: "5"},
		{name: "set of nothing", kind: "set('a','b','c')", value: "0", text: "''", json: `""`, sql: "0"},
		{name: "JSON", kind: "json", value: `{"a": "\n"}`, text: `'{"a": "\n"}'`, json: `"{\"a\": \"\\n\"}"`, sql: `'{"a": "\\n"}'`, match: "`c` <=> CAST('{\"a\": \"\\\\n\"}' AS JSON)"},
		{name: "JSON as bytes", kind: "json", value: "\u00c3\u00a9", set: blob, text: "'é'", json: `"é"`, sql: "'é'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			col := column(0, "c", c.kind, c.value)
			if c.set != nil {
				c.set(col)
			}
			insert := entry(t, canalpb.EventType_INSERT, &canalpb.RowData{AfterColumns: []*canalpb.Column{col}})
			remove := entry(t, canalpb.EventType_DELETE, &canalpb.RowData{BeforeColumns: []*canalpb.Column{col}})
			if c.match == "" {
				c.match = "`c` <=> " + c.sql
			}
			for _, f := range []struct {
				form tail.Form
				e    *canalpb.Entry
				want string
			}{
				{tail.Text, insert, "+ shop.or`der c=" + c.text + "\n"},
				{tail.JSON, insert, `"after":{"c":` + c.json + "}}\n"},
				{tail.SQL, insert, "VALUES (" + c.sql + ");\n"},
				{tail.SQL, remove, " WHERE " + c.match + " LIMIT 1;\n"},
			} {
				var b bytes.Buffer
				if err := (&tail.Printer{W: &b, Form: f.form}).Print(f.e); err != nil {
					t.Fatal(err)
				}
				if !strings.HasSuffix(b.String(), f.want) {
					t.Errorf("got  %q\nwant …%q", b.String(), f.want)
				}
				if f.form == tail.JSON && !json.Valid(b.Bytes()) {
					t.Errorf("no JSON: %s", &b)
				}
			}
		})
	}
}

// TestImages shows rows whose images leave columns out.
func TestImages(t *testing.T) {
	id := column(0, "id", "int", "1", key)
	update := entry(t, canalpb.EventType_UPDATE, &canalpb.RowData{BeforeColumns: []*canalpb.Column{id}, AfterColumns: []*canalpb.Column{column(1, "v", "text", "x", updated)}})
	same := entry(t, canalpb.EventType_UPDATE, &canalpb.RowData{BeforeColumns: []*canalpb.Column{id}, AfterColumns: []*canalpb.Column{id}})
	moved := entry(t, canalpb.EventType_UPDATE, &canalpb.RowData{BeforeColumns: []*canalpb.Column{id}, AfterColumns: []*canalpb.Column{column(0, "id", "int", "2", key, updated)}})
	for _, c := range []struct {
		name string
		form tail.Form
		e    *canalpb.Entry
		want string
	}{
		{"minimal", tail.Text, update, "~ shop.or`der id=1 v: → 'x'\n"},
		{"minimal sql", tail.SQL, update, "UPDATE `shop`.`or``der` SET `v` = 'x' WHERE `id` <=> 1 LIMIT 1;\n"},
		{"same", tail.SQL, same, "-- an update of `shop`.`or``der` that changes nothing\n"},
		{"key", tail.Text, moved, "~ shop.or`der id=1 id: 1 → 2\n"},
		{"key sql", tail.SQL, moved, "UPDATE `shop`.`or``der` SET `id` = 2 WHERE `id` <=> 1 LIMIT 1;\n"},
	} {
		var b bytes.Buffer
		if err := (&tail.Printer{W: &b, Form: c.form}).Print(c.e); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(b.String(), c.want) {
			t.Errorf("%s: %q, want %q", c.name, &b, c.want)
		}
	}
}

// TestStatements shows DDL in each form, as one line.
func TestStatements(t *testing.T) {
	raw, err := proto.Marshal(&canalpb.RowChange{EventType: canalpb.EventType_CREATE.Enum(), IsDdl: new(true), DdlSchemaName: new("shop"), Sql: new("CREATE TABLE t\n(id INT)")})
	if err != nil {
		t.Fatal(err)
	}
	e := entry(t, canalpb.EventType_CREATE)
	e.StoreValue = raw
	for form, want := range map[tail.Form]string{
		tail.Text: `! CREATE TABLE t\n(id INT)`,
		tail.SQL:  "-- in `shop`: CREATE TABLE t\\n(id INT)",
		tail.JSON: `"type":"STATEMENT","schema":"shop","table":"or` + "`" + `der","sql":"CREATE TABLE t\n(id INT)"}`,
	} {
		var b bytes.Buffer
		p := &tail.Printer{W: &b, Form: form}
		if err := p.Print(e); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); !strings.HasSuffix(got, want+"\n") || strings.Count(got, "\n") != 1 {
			t.Errorf("%q, want %q", got, want)
		}
		if p.Rows != 0 || p.Summary() != "0 rows (0 inserted, 0 updated, 0 deleted), 1 statement" {
			t.Errorf("%d rows, %s", p.Rows, p.Summary())
		}
	}
}

func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"mysql://joe:p%40@db:1/shop.*,a?tls=required", "mysql://[::1]", "mysql://@:/?", "mysql://a:b/c@d", "mysql://%@/,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := tail.ParseSource(text)
		if err == nil && (s.Filter == "" || s.TLS == "") {
			t.Errorf("%q: %+v", text, s)
		}
		if err == nil && s.Complete(nil) == nil {
			if _, _, err := net.SplitHostPort(s.Addr()); err != nil {
				t.Errorf("%q: address %q: %v", text, s.Addr(), err)
			}
		}
		// Whatever stands where a password does is in no error.
		const secret = "ZjQxSecret"
		if _, err := tail.ParseSource("mysql://joe:" + secret + text + "@db/"); err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := tail.ParseSource("mysql://joe:" + text + secret + "@db/"); err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func FuzzParseOptionFile(f *testing.F) {
	for _, s := range []string{"[client]\nuser=a\npassword='b # c'\n", "[client]\npassword=\"", "[\n=\n[client]\n=x\nport"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for k, v := range tail.ParseOptionFile(text) {
			switch k {
			case "password":
			case "user", "host", "port":
				if v == "" {
					t.Errorf("%q: empty %s", text, k)
				}
			default:
				t.Errorf("%q: %s", text, k)
			}
		}
	})
}

// FuzzPrint shows any type and value in each form: a line each, without what a
// terminal would act on, and JSON that is JSON.
func FuzzPrint(f *testing.F) {
	f.Add("enum('a','b')", "1", "id")
	f.Add("binary(300)", "\u00ff", "id")
	f.Add("set('", "18446744073709551615", "\x1b")
	f.Add("int", "1e999999", "x")
	f.Fuzz(func(t *testing.T, kind, value, name string) {
		if !utf8.ValidString(kind) || !utf8.ValidString(value) || !utf8.ValidString(name) {
			return // no entry can hold it
		}
		e := entry(t, canalpb.EventType_INSERT, &canalpb.RowData{AfterColumns: []*canalpb.Column{column(0, name, kind, value)}})
		for _, form := range []tail.Form{tail.Text, tail.JSON} {
			var b bytes.Buffer
			if err := (&tail.Printer{W: &b, Form: form}).Print(e); err != nil {
				t.Fatal(err)
			}
			line, ok := strings.CutSuffix(b.String(), "\n")
			if !ok || strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
				t.Errorf("%q", line)
			}
			if form == tail.JSON && !json.Valid([]byte(line)) {
				t.Errorf("no JSON: %q", line)
			}
		}
	})
}
