package fault

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

// TestSchemaSet: rows of a table that nobody knows any more stop their instance
// with the command that repairs it, and that command does.
func TestSchemaSet(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS fault_schema", "CREATE DATABASE fault_schema", "CREATE TABLE fault_schema.gone (id INT PRIMARY KEY, v INT)",
		"CREATE TABLE fault_schema.t (id INT PRIMARY KEY)", "FLUSH BINARY LOGS", "INSERT INTO fault_schema.gone VALUES (1,2)", "DROP TABLE fault_schema.gone",
		"INSERT INTO fault_schema.t VALUES (7)")
	conn, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, err := conn.Execute("SHOW BINARY LOGS")
	if err != nil {
		t.Fatal(err)
	}
	file, err := r.GetString(r.RowNumber()-1, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := harness.StartCanald(t, s, "", map[string]string{
		"d": "canal.instance.filter.regex=fault_schema\\\\..*\ncanal.instance.master.journal.name=" + file + "\ncanal.instance.master.position=4\n",
	})
	reader := dial(t, c, "d")
	var at string
	for end := time.Now().Add(20 * time.Second); at == ""; time.Sleep(50 * time.Millisecond) {
		_, rest, ok := strings.Cut(c.Log(), "canald schema set fault_schema.gone --file FILE --at ")
		if ok {
			at, _, _ = strings.Cut(rest, " ")
		}
		if time.Now().After(end) {
			t.Fatalf("nothing tells how to repair it:\n%s", c.Log())
		}
	}
	sql := filepath.Join(t.TempDir(), "gone.sql")
	if err := os.WriteFile(sql, []byte("CREATE TABLE gone (id INT PRIMARY KEY, v INT);\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), harness.Program(t), append([]string{"--home", c.Home, "schema"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if out := run("set", "fault_schema.gone", "--file", sql, "--at", at); !strings.Contains(out, "has 2 columns from "+at) {
		t.Error(out)
	}
	var got []string
	for end := time.Now().Add(30 * time.Second); len(got) < 2; {
		if time.Now().After(end) {
			t.Fatalf("%v\n%s", got, c.Log())
		}
		m, err := reader.GetWithoutAck(t.Context(), 100, 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if m.ID < 0 {
			continue
		}
		got = append(got, inserted(t, m)...)
		if err := reader.Ack(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
	}
	if got[0] != "gone id=1 v=2" || got[1] != "t id=7" {
		t.Errorf("%v", got)
	}
	if out := run("show"); !strings.Contains(out, "fault_schema.t") || strings.Contains(out, "fault_schema.gone") {
		t.Errorf("a dropped table is listed, or another is not:\n%s", out)
	}
	if out := run("show", "fault_schema.gone", "--at", at); !strings.Contains(out, "1  v") || !strings.Contains(out, "until "+file) {
		t.Error(out)
	}
	if out := run("diff"); !strings.Contains(out, "as the source has them") {
		t.Error(out)
	}
	s.Exec(t, "ALTER TABLE fault_schema.t ADD x INT")
}

// TestSchemaShowAtGTID: what a table was when a transaction ran.
func TestSchemaShowAtGTID(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS fault_gtid", "CREATE DATABASE fault_gtid", "CREATE TABLE fault_gtid.t (id INT PRIMARY KEY)")
	c := harness.StartCanald(t, s, "", map[string]string{"d": "canal.instance.filter.regex=fault_gtid\\\\..*\ncanal.instance.gtidon=true\n"})
	reader := dial(t, c, "d")
	s.Exec(t, "INSERT INTO fault_gtid.t VALUES (1)", "ALTER TABLE fault_gtid.t ADD x INT", "INSERT INTO fault_gtid.t VALUES (2,2)", "ALTER TABLE fault_gtid.t ADD y INT", "INSERT INTO fault_gtid.t VALUES (3,3,3)")
	at := map[string]string{} // the set in the row's entry by its id
	for end := time.Now().Add(20 * time.Second); len(at) < 3; {
		if time.Now().After(end) {
			t.Fatalf("%v\n%s", at, c.Log())
		}
		m, err := reader.GetWithoutAck(t.Context(), 100, 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			change := new(canalpb.RowChange)
			if e.GetEntryType() != canalpb.EntryType_ROWDATA || proto.Unmarshal(e.GetStoreValue(), change) != nil || len(change.GetRowDatas()) == 0 {
				continue
			}
			at[change.GetRowDatas()[0].GetAfterColumns()[0].GetValue()] = e.GetHeader().GetGtid()
		}
	}
	for id, columns := range map[string]int{"1": 1, "2": 2, "3": 3} {
		out, err := exec.CommandContext(t.Context(), harness.Program(t), "--home", c.Home, "schema", "show", "fault_gtid.t", "--at", at[id]).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for i, name := range []string{"id", "x", "y"} {
			if has := regexp.MustCompile(`(?m)^\d+ +` + name + " ").Match(out); has != (i < columns) {
				t.Errorf("at %s: column %s: %v\n%s", at[id], name, has, out)
			}
		}
	}
}

// inserted are the rows of a batch as "table column=value …".
func inserted(t *testing.T, m *client.Message) (lines []string) {
	t.Helper()
	entries, err := m.Decode()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.GetEntryType() != canalpb.EntryType_ROWDATA {
			continue
		}
		change := new(canalpb.RowChange)
		if err := proto.Unmarshal(e.GetStoreValue(), change); err != nil {
			t.Fatal(err)
		}
		for _, r := range change.GetRowDatas() {
			words := []string{e.GetHeader().GetTableName()}
			for _, c := range r.GetAfterColumns() {
				words = append(words, c.GetName()+"="+c.GetValue())
			}
			lines = append(lines, strings.Join(words, " "))
		}
	}
	return lines
}
