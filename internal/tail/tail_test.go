package tail_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/tail"
)

func TestParseSource(t *testing.T) {
	for _, c := range []struct {
		url  string
		want tail.Source
		err  string
	}{
		{url: "mysql://root@db", want: tail.Source{Addr: "db:3306", User: "root", TLS: "PREFERRED", Filter: `.*\..*`}},
		{url: "mysql://joe:p%40ss@w@[::1]:3307/shop", want: tail.Source{Addr: "[::1]:3307", User: "joe", Password: "p@ss@w", HasPassword: true, TLS: "PREFERRED", Filter: `shop\..*`}},
		{url: "mysql://joe:@db:1/shop.order*,crm.a.b?tls=required", want: tail.Source{Addr: "db:1", User: "joe", HasPassword: true, TLS: "REQUIRED", Filter: `shop\.order.*,crm\.a\.b`}},
		{url: "db:3306", err: "mysql://user@host:port"},
		{url: "mysql://", err: "host is missing"},
		{url: "mysql://joe:secret1@db:port", err: `"port" is no port`},
		{url: "mysql://joe:secret1%zz@db", err: "bad %XX"},
		{url: "mysql://db?tls=maybe", err: "DISABLED"},
		{url: "mysql://db?ssl=1", err: `"ssl" is no option`},
	} {
		got, err := tail.ParseSource(c.url)
		switch {
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%s: %+v, %v", c.url, got, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: error %v, want %q", c.url, err, c.err)
		case err != nil && strings.Contains(err.Error(), "secret1"):
			t.Errorf("a password is shown: %v", err)
		}
	}
}

func TestParseCanal(t *testing.T) {
	addr, destination, err := tail.ParseCanal("host/example")
	if err != nil || addr != "host:11111" || destination != "example" {
		t.Errorf("%s %s %v", addr, destination, err)
	}
	if _, _, err := tail.ParseCanal("host:11111"); err == nil {
		t.Error("no destination, no error")
	}
}

func TestParseOptionFile(t *testing.T) {
	m := tail.ParseOptionFile("[mysqld]\nuser=mysql\n[client]\n# c\nuser = joe\npassword=\"a # b\"\nport=3307 # old\nhost\n[other]\npassword=x\n")
	for k, want := range map[string]string{"user": "joe", "password": "a # b", "port": "3307", "host": ""} {
		if m[k] != want {
			t.Errorf("%s: %q, want %q", k, m[k], want)
		}
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
		{"insert sql", tail.SQL, insert, "INSERT INTO `shop`.`or``der` (`id`, `note`, `raw`, `gone`, `price`) VALUES (7, 'it\\'s\\n\x1b[2J', x'00ff', NULL, 1.50);\n"},
		{"update sql", tail.SQL, update, "UPDATE `shop`.`or``der` SET `note` = 'new', `gone` = 'here' WHERE `id` <=> 7 LIMIT 1;\n"},
		{"delete sql", tail.SQL, remove, "DELETE FROM `shop`.`or``der` WHERE `note` <=> 'it\\'s\\n\x1b[2J' AND `raw` <=> x'00ff' AND `gone` <=> NULL AND `price` <=> 1.50 LIMIT 1;\n"},
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

func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"mysql://joe:p%40@db:1/shop.*,a?tls=required", "mysql://[::1]", "mysql://@:/?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := tail.ParseSource(text)
		if err == nil && (s.Addr == "" || s.Filter == "" || s.TLS == "") {
			t.Errorf("%q: %+v", text, s)
		}
		tail.ParseOptionFile(text)
	})
}
