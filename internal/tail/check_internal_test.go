package tail

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/instance"
)

func TestJudge(t *testing.T) {
	good := func() binlog.Facts {
		return binlog.Facts{
			Variables: map[string]string{"log_bin": "ON", "binlog_format": "ROW", "binlog_row_image": "FULL"},
			Tables:    []string{"mysql.user", "shop.order"},
		}
	}
	denied := errors.New("Access denied")
	for _, c := range []struct {
		name  string
		url   string
		f     func(f *binlog.Facts)
		errs  []string // each in the error
		notes []string // each in a note
	}{
		{name: "good"},
		{name: "off", f: func(f *binlog.Facts) { f.Variables["log_bin"] = "OFF"; f.StatusErr = denied }, errs: []string{"repair: log_bin=mysql-bin"}},
		{name: "statements", f: func(f *binlog.Facts) { f.Variables["binlog_format"] = "MIXED" }, errs: []string{"repair: SET GLOBAL binlog_format = 'ROW';"}},
		{name: "minimal", f: func(f *binlog.Facts) { f.Variables["binlog_row_image"] = "MINIMAL" }, notes: []string{"SET GLOBAL binlog_row_image = 'FULL';"}},
		{name: "partial", f: func(f *binlog.Facts) { f.Variables["binlog_row_value_options"] = "PARTIAL_JSON" }, notes: []string{"SET GLOBAL binlog_row_value_options = '';"}},
		{name: "old server", f: func(f *binlog.Facts) { maps.DeleteFunc(f.Variables, func(string, string) bool { return true }) }},
		{name: "no client right", f: func(f *binlog.Facts) { f.StatusErr = denied }, errs: []string{"GRANT REPLICATION CLIENT ON *.* TO 'o''joe'@'%';"}},
		{name: "no slave right", f: func(f *binlog.Facts) { f.DumpErr = denied }, errs: []string{"GRANT REPLICATION SLAVE ON *.* TO 'o''joe'@'%';"}},
		{name: "no table", url: "/shop.nothing", f: func(f *binlog.Facts) { f.Tables = []string{"performance_schema.t", "shop.order"} }, errs: []string{"GRANT SELECT ON `shop`.* TO 'o''joe'@'%';"}},
		{name: "no schema", f: func(f *binlog.Facts) { f.Tables = []string{"sys.t"} }, errs: []string{"GRANT SELECT ON *.* TO"}},
		{name: "starred", url: "/sh*.x", f: func(f *binlog.Facts) { f.Tables = nil }, errs: []string{"GRANT SELECT ON *.* TO"}},
		{name: "not yet", url: "/shop.nothing", notes: []string{"no table matches yet"}},
		{name: "one schema's right", url: "/SHOP.ord*", f: func(f *binlog.Facts) { f.Tables = []string{"shop.order"} }},
		{name: "unknown", f: func(f *binlog.Facts) { f.Tables, f.TablesErr = nil, denied }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := ParseSource("mysql://o'joe@db" + c.url)
			if err != nil {
				t.Fatal(err)
			}
			f := good()
			if c.f != nil {
				c.f(&f)
			}
			notes, err := judge(s, f)
			if (err != nil) != (len(c.errs) > 0) || len(notes) != len(c.notes) {
				t.Fatalf("%v, notes %q", err, notes)
			}
			for _, want := range c.errs {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: want %q", err, want)
				}
			}
			for i, want := range c.notes {
				if !strings.Contains(notes[i], want) {
					t.Errorf("%q: want %q", notes[i], want)
				}
			}
		})
	}
}

// TestWatch follows a source that is lost and comes back, and one that has not
// what was asked for.
func TestWatch(t *testing.T) {
	var said []string
	w := &watch{say: func(s string) { said = append(said, s) }}
	long, now := time.Now().Add(-time.Hour), time.Now()
	for _, s := range []instance.Status{
		{Connected: true, ConnectedSince: long, Dumps: 1},
		{Errors: map[string]int64{"network": 1}, LastError: "gone", Dumps: 1},
		{Errors: map[string]int64{"network": 2}, LastError: "gone", Dumps: 1},
		{Errors: map[string]int64{"network": 3}, LastError: "refused", Dumps: 1},
		{Errors: map[string]int64{"network": 3}, LastError: "refused", Dumps: 2, Connected: true, ConnectedSince: now.Add(time.Hour)},
		{Errors: map[string]int64{"network": 3}, LastError: "refused", Dumps: 2, Connected: true, ConnectedSince: long},
		{Errors: map[string]int64{"network": 3}, LastError: "refused", Dumps: 2, Connected: true, ConnectedSince: long},
		{Errors: map[string]int64{"network": 4}, LastError: "refused", Dumps: 2},
	} {
		if err := w.see(s); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"source lost, trying again: gone", "source lost, trying again: refused", "source is back, going on where it was",
		"source lost, trying again: refused",
	}
	if strings.Join(said, "|") != strings.Join(want, "|") {
		t.Errorf("said %q", said)
	}
	for _, s := range []instance.Status{
		{Errors: map[string]int64{"purged": 1}, LastError: "it is gone", Dumps: 1, LastEvent: now},
		{Errors: map[string]int64{"refused": 1}, LastError: "it is gone", Dumps: 1},
	} {
		if err := (&watch{say: w.say}).see(s); err == nil || err.Error() != "it is gone" {
			t.Errorf("%+v: %v", s.Errors, err)
		}
	}
}

func TestPlace(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	for text, want := range map[string]string{
		"-10m": now.Add(-10 * time.Minute).String(), "2026-11-24T12:00:00+01:00": time.Date(2026, 11, 24, 11, 0, 0, 0, time.UTC).Local().String(),
		"2026-11-24 12:00:00": time.Date(2026, 11, 24, 12, 0, 0, 0, time.Local).String(), "2026-11-24": time.Date(2026, 11, 24, 0, 0, 0, 0, time.Local).String(),
		"10m": "", "mysql-bin.000001:4": "", "0-1-5": "", "": "",
	} {
		got, ok := parseTime(text, now)
		if ok != (want != "") || ok && got.Local().String() != want {
			t.Errorf("%q: %s, %v", text, got, ok)
		}
	}
	for text, want := range map[string]uint64{
		"mysql-bin.000042:4711": 4711, "mysql-bin.000042": 4, "a.b.000042:0": 4,
		"mysql-bin.x:4": 0, "mysql-bin": 0, "mysql-bin.000042:x": 0, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5": 0, "0-1-5": 0, ".5": 0,
	} {
		if file, offset, ok := parsePlace(text); ok != (want > 0) || offset != want || ok && !strings.HasPrefix(text, file) {
			t.Errorf("%q: %s %d %v", text, file, offset, ok)
		}
	}
}

func TestWantedStatements(t *testing.T) {
	for _, c := range []struct {
		tables, schema, sql string
		want                bool
	}{
		{"shop", "shop", "DROP TABLE t", true},
		{"shop.order", "SHOP", "DROP TABLE t", true},
		{"shop", "crm", "DROP TABLE t", false},
		{"shop", "crm", "DROP TABLE shop.t", true},
		{"shop", "", "create table `Shop`.`t` (id INT)", true},
		{"shop", "", "DROP DATABASE shop", true},
		{"shop", "", "DROP DATABASE shop2", false},
		{"shop", "", "DROP TABLE my_shop.t", false},
		{"shop", "", "GRANT SELECT ON *.* TO 'a'@'b'", false},
		{"sh*,crm", "", "ALTER TABLE shop.t ADD c INT", true},
		{"sh*,crm", "shipping", "DROP TABLE t", true},
		{"sh*,crm", "ash", "DROP TABLE crm.t", true},
		{"sh*", "ash", "DROP TABLE t", false},
		{"läden", "", "DROP TABLE läden.t", true},
		{"a.b*,c(d", "", "DROP TABLE `c(d`.t", true},
	} {
		s, err := ParseSource("mysql://db/" + c.tables)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.statements()(c.schema, c.sql); got != c.want {
			t.Errorf("%s: %q in %q: %v", c.tables, c.sql, c.schema, got)
		}
	}
	if s, err := ParseSource("mysql://db"); err != nil || s.statements() != nil {
		t.Error("without tables all statements are of interest")
	}
}
