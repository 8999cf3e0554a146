package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	mysqlclient "github.com/go-mysql-org/go-mysql/client"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/canald/canald/client"
	"github.com/canald/canald/internal/tail"
	"github.com/canald/canald/test/harness"
)

// tailing is a tail that runs in the test's process.
type tailing struct {
	cancel context.CancelFunc
	done   chan error

	mu        sync.Mutex
	out, said bytes.Buffer
}

func (r *tailing) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(b)
}

func (r *tailing) say(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said.WriteString(s + "\n")
}

func (r *tailing) text() (out, said string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String(), r.said.String()
}

// wait waits for a text among the rows or the notices, and returns when it came.
func (r *tailing) wait(t *testing.T, want string) time.Time {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		out, said := r.text()
		if strings.Contains(out+said, want) {
			return time.Now()
		}
		if time.Now().After(end) {
			t.Fatalf("%q did not come:\n%s\n%s", want, out, said)
		}
	}
}

// stop ends the tail as Ctrl-C does.
func (r *tailing) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

func sourceURL(s *harness.Server, user, password, tables string) string {
	return "mysql://" + user + ":" + password + "@" + s.Addr + "/" + tables
}

func parseURL(t *testing.T, text string) tail.Source {
	t.Helper()
	s, err := tail.ParseSource(text)
	if err == nil {
		err = s.Complete(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startTail follows tables from now on. It returns when what is written comes.
func startTail(t *testing.T, s *harness.Server, tables string, p *tail.Printer) *tailing {
	t.Helper()
	source := parseURL(t, sourceURL(s, s.User, s.Password, tables))
	ctx, cancel := context.WithCancel(context.Background())
	r := &tailing{cancel: cancel, done: make(chan error, 1)}
	p.W = r
	ready := make(chan struct{})
	var once sync.Once
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(io.Discard), zap.InfoLevel)
	log := zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		if strings.Contains(e.Message, "the next step is binlog dump") {
			once.Do(func() { close(ready) })
		}
		return nil
	}))
	go func() { r.done <- tail.Follow(ctx, source, tail.Options{From: "now", Say: r.say, Log: log}, p) }()
	t.Cleanup(cancel)
	select {
	case <-ready:
	case err := <-r.done:
		t.Fatal(err)
	case <-time.After(30 * time.Second):
		t.Fatal("tail does not begin")
	}
	return r
}

func TestTailIsPrompt(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		s.Exec(t, "DROP DATABASE IF EXISTS tail_prompt", "CREATE DATABASE tail_prompt", "CREATE TABLE tail_prompt.t (id INT PRIMARY KEY, v VARCHAR(9))",
			"CREATE TABLE tail_prompt.other (id INT)", "INSERT INTO tail_prompt.t VALUES (1,'a')")
		r := startTail(t, s, "tail_prompt.t", &tail.Printer{Form: tail.JSON})
		s.Exec(t, "INSERT INTO tail_prompt.other VALUES (1)", "UPDATE tail_prompt.t SET v='b'")
		committed := time.Now()
		took := r.wait(t, `"after":{"id":1,"v":"b"}`).Sub(committed)
		t.Logf("shown %s after the commit", took)
		if took > 10*time.Second {
			t.Errorf("shown %s after the commit", took)
		}
		r.stop(t)
		out, said := r.text()
		var row struct {
			File, Time, Type, Schema, Table string
			Position                        int64
			Key                             []string
			Before, After                   map[string]any
		}
		if err := json.Unmarshal([]byte(out), &row); err != nil { // one row and no other table's
			t.Fatalf("%v\n%s", err, out)
		}
		at, err := time.Parse(time.RFC3339, row.Time)
		if err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("time %q, %v", row.Time, err)
		}
		if !strings.HasPrefix(row.File, "mysql-bin.0") || row.Position < 4 || row.Type != "UPDATE" || row.Schema != "tail_prompt" || row.Table != "t" ||
			len(row.Key) != 1 || row.Key[0] != "id" || row.Before["v"] != "a" || row.After["v"] != "b" {
			t.Errorf("%s", out)
		}
		if said != "" {
			t.Errorf("said %q", said)
		}
	})
}

// tailTypes are columns of all types, each with values that are of interest.
// The last is the row's other one, for an update.
var tailTypes = []struct {
	kind   string
	values []string
	has    func(v harness.Version) bool
}{
	{kind: "BIGINT UNSIGNED", values: []string{"18446744073709551615", "0", "7"}},
	{kind: "TINYINT", values: []string{"-128", "NULL", "1"}},
	{kind: "DECIMAL(30,10)", values: []string{"-12345678901234567890.0123456789", "0", "1.5"}},
	{kind: "FLOAT", values: []string{"0.1", "-3.4e38", "16777216", "1.17549e-38"}},
	{kind: "DOUBLE", values: []string{"0.1", "1e300", "-2.2250738585072014e-308", "3"}},
	{kind: "BIT(64)", values: []string{"18446744073709551615", "0", "5"}},
	{kind: "BIT(1)", values: []string{"1", "0", "NULL"}},
	{kind: "YEAR", values: []string{"0000", "2155", "1999"}},
	{kind: "DATE", values: []string{"'0000-00-00'", "'9999-12-31'", "'2024-02-00'", "'2024-02-29'"}},
	{kind: "TIME", values: []string{"'-838:59:59'", "'00:00:00'", "'100:00:00'"}},
	{kind: "TIME(6)", values: []string{"'-00:00:00.000001'", "'12:34:56.789'", "NULL"}, has: func(v harness.Version) bool { return v.AtLeast(5, 6) }},
	{kind: "DATETIME", values: []string{"'0000-00-00 00:00:00'", "'2024-12-31 23:59:59'", "NULL"}},
	{kind: "TIMESTAMP NULL", values: []string{"'2024-07-01 12:00:00'", "'0000-00-00 00:00:00'", "'2038-01-19 03:14:07'", "NULL"}},
	{kind: "CHAR(5)", values: []string{"'a'", "''", "'A'"}},
	{kind: "VARCHAR(99)", values: []string{`'it''s "q" \\ \n\r\t\0\Z;-- x'`, "'é😀'", "'\x1b[2J\u009b'", "''", "NULL"}},
	{kind: "LONGTEXT", values: []string{"REPEAT('ü',70000)", "NULL", "'x'"}},
	{kind: "BINARY(4)", values: []string{"x'00ff0000'", "x''", "x'ffffffff'"}},
	{kind: "VARBINARY(9)", values: []string{"x'00ff00'", "x''", "x'27'"}},
	{kind: "BLOB", values: []string{"x'0027225c0a1a80ff'", "x''", "NULL"}},
	{kind: "ENUM('a','it''s','10')", values: []string{"'it''s'", "'10'", "NULL"}},
	{kind: "SET('a','b','c')", values: []string{"'a,c'", "''", "'b'"}},
	{kind: "POINT", values: []string{"ST_GeomFromText('POINT(1.5 -2)')", "NULL", "ST_GeomFromText('POINT(0 0)')"}, has: func(v harness.Version) bool { return v.AtLeast(5, 6) }},
	{kind: "JSON", values: []string{`'{"a": [1, -2.5, "é\\n\\"q\\"", null, true], "b": {"c": {}}}'`, "'1'", "NULL"}, has: func(v harness.Version) bool { return !v.MySQL() && v.AtLeast(10, 11) || v.MySQL() && v.AtLeast(8, 0) }},
	{kind: "VARCHAR(9) CHARACTER SET latin1", values: []string{"'plain'", "''", "NULL"}},
}

// TestTailSQL runs the statements of one schema's changes in another one, as
// mysql does: both must be equal in the end. Tables with a key and without,
// with each type, rows that look alike, and names that have to be quoted.
func TestTailSQL(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		var setup, work []string
		tables := map[string]string{} // with the columns to compare
		two := func(format string, args ...any) {
			for _, schema := range []string{"tail_from", "tail_to"} {
				setup = append(setup, "USE "+schema, fmt.Sprintf(format, args...))
			}
		}
		for n, c := range tailTypes {
			if c.has != nil && !c.has(s.Version) {
				continue
			}
			keyed, plain := fmt.Sprintf("k%d", n), fmt.Sprintf("p%d", n)
			two("CREATE TABLE %s (id INT PRIMARY KEY, v %s)", keyed, c.kind)
			two("CREATE TABLE %s (id INT, v %s)", plain, c.kind)
			tables[keyed], tables[plain] = c.kind, c.kind
			last := len(c.values) - 1
			for i, v := range c.values {
				work = append(work, fmt.Sprintf("INSERT INTO %s VALUES (%d,%s)", keyed, i, v), fmt.Sprintf("INSERT INTO %s VALUES (1,%s)", plain, v),
					fmt.Sprintf("INSERT INTO %s VALUES (%d,%s)", keyed, 100+i, v)) // and stays
			}
			work = append(work,
				fmt.Sprintf("UPDATE %s SET v=%s WHERE id=0", keyed, c.values[last]), fmt.Sprintf("DELETE FROM %s WHERE id=1", keyed),
				fmt.Sprintf("UPDATE %s SET id=2, v=%s ORDER BY id LIMIT 1", plain, c.values[last]), fmt.Sprintf("DELETE FROM %s ORDER BY id LIMIT 1", plain),
			)
		}
		two("CREATE TABLE `odd ``name.x` (`a``b` INT AUTO_INCREMENT, `c d` BINARY(16), KEY (`a``b`), PRIMARY KEY (`c d`))")
		tables["`odd ``name.x`"] = "BINARY(16)"
		// What is no UTF-8 shows as such, and tail says so.
		two("CREATE TABLE foreigner (id INT PRIMARY KEY, v VARCHAR(9) CHARACTER SET latin1)")
		work = append(work, "INSERT INTO foreigner VALUES (1,'é')")
		two("CREATE TABLE twins (v VARCHAR(9))")
		tables["twins"] = ""
		work = append(work, "INSERT INTO `odd ``name.x` VALUES (1,x'01020000'),(2,x'03')", "UPDATE `odd ``name.x` SET `a``b`=9 WHERE `c d`=x'01020000000000000000000000000000'",
			"INSERT INTO twins VALUES ('a'),('A'),('a')", "DELETE FROM twins WHERE BINARY v='A'", "INSERT INTO twins VALUES ('end')")
		head := []string{"SET SESSION sql_mode='ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'", "SET NAMES utf8mb4", "SET time_zone='+05:00'"}
		s.Exec(t, append(append(head, "DROP DATABASE IF EXISTS tail_from", "DROP DATABASE IF EXISTS tail_to", "CREATE DATABASE tail_from", "CREATE DATABASE tail_to"), setup...)...)

		r := startTail(t, s, "tail_from", &tail.Printer{Form: tail.SQL})
		s.Exec(t, append(append(head, "USE tail_from"), work...)...)
		r.wait(t, "VALUES ('end');")
		r.stop(t)
		out, said := r.text()
		if !strings.Contains(said, "no UTF-8") || strings.Count(said, "\n") != 1 || !strings.Contains(out, "VALUES (1, '\uFFFD');") {
			t.Errorf("said %q", said)
		}
		// All in one session, as in a file that mysql reads.
		c, err := s.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		n := 0
		for line := range strings.Lines(out) {
			line = strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(line, "--") {
				t.Errorf("no statement: %s", line)
				continue
			}
			if strings.Contains(line, "`foreigner`") {
				continue
			}
			res, err := c.Execute(strings.Replace(line, "`tail_from`.", "`tail_to`.", 1))
			if err != nil {
				t.Errorf("%.300s: %v", line, err)
				continue
			}
			if !strings.HasPrefix(line, "SET ") {
				if n++; res.AffectedRows != 1 {
					t.Errorf("%.300s: %d rows", line, res.AffectedRows)
				}
			}
		}
		if n < len(work)-1 {
			t.Errorf("%d statements of %d", n, len(work))
		}
		for name, kind := range tables {
			if from, to := dump(t, c, "tail_from."+name), dump(t, c, "tail_to."+name); from != to || from == "" {
				t.Errorf("%s %s:\n%.500s\n%.500s", name, kind, from, to)
			}
		}
		t.Logf("%d statements for %d tables", n, len(tables))
	})
}

// dump is the sorted rows of a table, with their bytes.
func dump(t *testing.T, c *mysqlclient.Conn, table string) string {
	t.Helper()
	res, err := c.Execute("SELECT * FROM " + table + " ORDER BY 1, 2")
	if err != nil && strings.Contains(err.Error(), "1054") {
		res, err = c.Execute("SELECT HEX(v) FROM " + table + " ORDER BY 1")
	}
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for i := range res.RowNumber() {
		var cells []string
		for j := range res.ColumnNumber() {
			v, err := res.GetValue(i, j)
			if err != nil {
				t.Fatal(err)
			}
			cells = append(cells, fmt.Sprintf("%q", fmt.Sprint(v)))
		}
		rows = append(rows, strings.Join(cells, " "))
	}
	return strings.Join(rows, "\n")
}

// TestTailSurvives: the source restarts, and tail goes on where it was.
func TestTailSurvives(t *testing.T) {
	for _, v := range harness.Versions() {
		t.Run(string(v), func(t *testing.T) {
			s, err := harness.StartServer(t.Context(), v, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Stop() })
			s.Exec(t, "CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)")
			p := &tail.Printer{}
			r := startTail(t, s, "d", p)
			s.Exec(t, "INSERT INTO d.t VALUES (1)")
			r.wait(t, "+ d.t id=1")
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			r.wait(t, "source lost, trying again: ")
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Exec(t, "INSERT INTO d.t VALUES (2)")
			r.wait(t, "+ d.t id=2")
			r.wait(t, "source is back")
			r.stop(t)
			if out, _ := r.text(); strings.Count(out, "\n") != 2 || p.Summary() != "2 rows (2 inserted, 0 updated, 0 deleted)" {
				t.Errorf("%s%s", out, p.Summary())
			}
		})
	}
}

// TestTailRefuses: what the source lacks is said at once with the statement that
// repairs it, which does repair it; no password is shown.
func TestTailRefuses(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		const secret = "Poor-Pass.1"
		s.Exec(t, "DROP DATABASE IF EXISTS tail_poor", "CREATE DATABASE tail_poor", "CREATE TABLE tail_poor.t (id INT PRIMARY KEY)",
			"CREATE USER 'poor'@'127.0.0.1' IDENTIFIED BY '"+secret+"'")
		t.Cleanup(func() { run(t, s, "DROP USER 'poor'@'127.0.0.1'") })
		refusal := func(from string) string {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := tail.Follow(ctx, parseURL(t, sourceURL(s, "poor", secret, "tail_poor.t")), tail.Options{From: from, Say: func(string) {}, Log: zap.NewNop()}, &tail.Printer{W: &bytes.Buffer{}, Most: 1})
			if err == nil {
				return ""
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the password is shown: %v", err)
			}
			return err.Error()
		}
		// Each statement is run as it is said; only the host is the test's.
		granted := map[string]bool{}
		for range 4 {
			text := refusal("mysql-bin.999999:4")
			repaired := false
			for line := range strings.Lines(text) {
				if _, statement, ok := strings.Cut(line, "repair: "); ok && strings.HasPrefix(statement, "GRANT ") {
					statement, _, _ = strings.Cut(statement, ";")
					s.Exec(t, strings.Replace(statement, "'%'", "'127.0.0.1'", 1))
					granted[strings.Join(strings.Fields(statement)[1:3], " ")] = true
					repaired = true
				}
			}
			if !repaired {
				if s.MySQL() && !s.AtLeast(5, 6) {
					break // it lists its files to SUPER only: the place shows at the dump
				}
				if !strings.Contains(text, "does not reach back that far") {
					t.Errorf("what is lacking in the end: %s", text)
				}
				break
			}
		}
		for _, right := range []string{"REPLICATION CLIENT", "REPLICATION SLAVE", "SELECT ON"} {
			found := false
			for g := range granted {
				found = found || strings.HasPrefix(g, right)
			}
			if !found {
				t.Errorf("%s was not asked for: %v", right, granted)
			}
		}
		// A place inside the file that is none.
		if text := refusal("mysql-bin.000001:999999999"); text == "" {
			t.Error("a place behind the end of its file is shown from")
		} else {
			t.Log(text)
		}
		_, err := tail.ParseSource(sourceURL(s, "poor", secret, "@"))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Error(err)
		}
	})
}

// TestTailReaderGone: a reader that has seen enough ends the program without a
// word. The source is younger than the time it is asked for.
func TestTailReaderGone(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS tail_gone", "CREATE DATABASE tail_gone", "CREATE TABLE tail_gone.t (id INT PRIMARY KEY)")
	cmd := exec.Command(harness.Program(t), "tail", "--json", "--from", "-1h", sourceURL(s, s.User, s.Password, "tail_gone.t"))
	s.Exec(t, "DROP DATABASE IF EXISTS tail_not", "CREATE DATABASE tail_not") // and not shown
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var diag bytes.Buffer
	cmd.Stderr = &diag
	s.Exec(t, "INSERT INTO tail_gone.t VALUES (1)")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, `"schema":"tail_gone"`) {
		t.Errorf("%q, %v", line, err)
	}
	out.Close()
	s.Exec(t, "INSERT INTO tail_gone.t VALUES (2)")
	if err := cmd.Wait(); err != nil || strings.Count(diag.String(), "\n") != 1 || !strings.Contains(diag.String(), "shown from its begin") {
		t.Errorf("%v, %q", err, &diag)
	}
}

func run(t *testing.T, s *harness.Server, sql string) {
	c, err := s.Conn(context.Background())
	if err == nil {
		_, err = c.Execute(sql)
		_ = c.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

// TestTailLooksOn shows what this server delivers, with and without
// acknowledging, while the client of the destination gets all of it.
func TestTailLooksOn(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	sc := newScene(t, s, "tail_looked", 4391)
	sc.exec("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (id INT PRIMARY KEY)")
	sc.begin("")
	look := func(id int16, noAck bool) *tailing {
		ctx, cancel := context.WithCancel(context.Background())
		r := &tailing{cancel: cancel, done: make(chan error, 1)}
		go func() {
			r.done <- tail.Canal(ctx, client.Options{Addr: sc.c.addr, Destination: sc.name, ClientID: id}, tail.CanalOptions{NoAck: noAck, Say: r.say}, &tail.Printer{W: r})
		}()
		t.Cleanup(cancel)
		return r
	}
	acking, holding := look(1002, false), look(1003, true)
	clients := func() int {
		st, _ := sc.c.host.Instance(sc.name).Status()
		return len(st.Clients)
	}
	eventually(t, "both look", func() bool { return clients() == 3 })
	sc.exec("INSERT INTO t VALUES (1),(2)", "INSERT INTO u VALUES (3)")
	for _, r := range []*tailing{acking, holding} {
		r.wait(t, "+ tail_looked.t id=2")
		r.wait(t, "+ tail_looked.u id=3") // the instance's filter is what it was
	}
	if got := len(sc.rows()); got != 3 {
		t.Errorf("the client got %d of 3 rows", got)
	}
	acking.stop(t)
	holding.stop(t)
	if n := clients(); n != 1 {
		t.Errorf("%d clients are left", n)
	}
	var refused *client.ServerError
	err := tail.Canal(t.Context(), client.Options{Addr: sc.c.addr, Destination: "nowhere", ClientID: 9}, tail.CanalOptions{Say: func(string) {}}, &tail.Printer{W: &bytes.Buffer{}})
	if !errors.As(err, &refused) {
		t.Errorf("a destination that is none: %v", err)
	}
}
