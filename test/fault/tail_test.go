package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/canald/canald/test/harness"
)

// output gathers what a command prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

type tailing struct {
	cmd      *exec.Cmd
	out, err output
}

func startTail(t *testing.T, env []string, args ...string) *tailing {
	t.Helper()
	limit, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	r := &tailing{cmd: exec.CommandContext(limit, harness.Program(t), append([]string{"tail"}, args...)...)}
	r.cmd.Env = append(append(os.Environ(), "HOME="+t.TempDir()), env...)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.err
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	})
	return r
}

func (r *tailing) wait(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(r.out.String()+r.err.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q is not printed:\n%s\n%s", text, &r.out, &r.err)
		}
	}
}

func (r *tailing) end(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &r.err)
	}
}

func url(s *harness.Server, tables string) string {
	return fmt.Sprintf("mysql://%s:%s@%s/%s", s.User, s.Password, s.Addr, tables)
}

// TestTail follows a source without any configuration.
func TestTail(t *testing.T) {
	for _, v := range harness.Versions() {
		t.Run(string(v), func(t *testing.T) {
			s, err := harness.StartServer(t.Context(), v, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Stop() })
			s.Exec(t, "CREATE DATABASE tailed", "CREATE TABLE tailed.t (id INT PRIMARY KEY, v VARCHAR(40), b VARBINARY(9), n DECIMAL(9,2))", "CREATE TABLE tailed.other (id INT)",
				"INSERT INTO tailed.t VALUES (1,'old',x'00ff',1.50)")
			// The password from the environment, and a URL without it.
			r := startTail(t, []string{"MYSQL_PWD=" + s.Password}, "-v", fmt.Sprintf("mysql://%s@%s/tailed.t", s.User, s.Addr))
			r.wait(t, "the next step is binlog dump")
			r.wait(t, "subscribe successfully")
			began := time.Now()
			s.Exec(t, "INSERT INTO tailed.other VALUES (1)", "UPDATE tailed.t SET v='new' WHERE id=1")
			r.wait(t, "~ tailed.t id=1 v: 'old' → 'new'")
			t.Logf("the update was shown after %s", time.Since(began))
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the update was shown after %s", took)
			}
			if strings.Contains(r.out.String(), "other") {
				t.Error("a table is shown that was not asked for")
			}
			// A restart of the source is survived.
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			r.wait(t, "has an error, retrying")
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Exec(t, "DELETE FROM tailed.t WHERE id=1")
			r.wait(t, "- tailed.t id=1 v='new' b=0x00ff n=1.50")
			r.end(t)
			if !strings.Contains(r.err.String(), "2 rows") || strings.Contains(r.err.String(), "panic") {
				t.Errorf("standard error: %s", &r.err)
			}
		})
	}
}

// TestTailFrom begins at places in the past, by file, time and GTID, and in each form.
func TestTailFrom(t *testing.T) {
	for _, v := range harness.Versions() {
		if v == harness.MySQL55 {
			continue // it lists its binlogs to SUPER only, and tail says so
		}
		t.Run(string(v), func(t *testing.T) {
			var options []string
			if v.MySQL() && v.AtLeast(5, 6) {
				options = []string{"--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-slave-updates=ON"}
				if v.AtLeast(9, 0) {
					options[2] = "--log-replica-updates=ON"
				}
			}
			s, err := harness.StartServer(t.Context(), v, t.TempDir(), options...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Stop() })
			s.Exec(t, "CREATE DATABASE tailed", "CREATE TABLE tailed.t (id INT PRIMARY KEY, v VARCHAR(40))", "CREATE DATABASE copied", "CREATE TABLE copied.t LIKE tailed.t",
				"INSERT INTO tailed.t VALUES (1,'it''s'),(2,NULL)", "FLUSH LOGS")
			file, offset, gtids := end(t, s)
			time.Sleep(2100 * time.Millisecond) // binlogs tell time in seconds
			at := time.Now().Add(-500 * time.Millisecond)
			s.Exec(t, "UPDATE tailed.t SET v='x' WHERE id=2", "FLUSH LOGS", "DELETE FROM tailed.t WHERE id=1")
			froms := map[string]string{"place": fmt.Sprintf("%s:%d", file, offset), "time": at.Format("2006-01-02 15:04:05")}
			if gtids != "" {
				froms["gtid"] = gtids
			}
			for name, from := range froms {
				t.Run(name, func(t *testing.T) {
					r := startTail(t, nil, "--json", "--limit", "2", "--from", from, url(s, "tailed"))
					if err := r.cmd.Wait(); err != nil {
						t.Fatalf("%v\n%s", err, &r.err)
					}
					var kinds []string
					for line := range strings.Lines(r.out.String()) {
						var row struct {
							Type  string
							After map[string]any
						}
						if err := json.Unmarshal([]byte(line), &row); err != nil {
							t.Fatalf("%v\n%s", err, line)
						}
						if row.Type != "STATEMENT" {
							kinds = append(kinds, row.Type)
						}
					}
					if got := strings.Join(kinds, " "); got != "UPDATE DELETE" {
						t.Errorf("rows %q\n%s\n%s", got, &r.out, &r.err)
					}
				})
			}
			t.Run("sql", func(t *testing.T) {
				first, _ := s.Conn(t.Context())
				defer first.Close()
				res, err := first.Execute("SHOW BINARY LOGS")
				if err != nil {
					t.Fatal(err)
				}
				oldest, _ := res.GetString(0, 0)
				r := startTail(t, nil, "--sql", "--limit", "4", "--from", oldest, url(s, "tailed.t"))
				if err := r.cmd.Wait(); err != nil {
					t.Fatalf("%v\n%s", err, &r.err)
				}
				for line := range strings.Lines(r.out.String()) {
					if !strings.HasPrefix(line, "--") {
						s.Exec(t, strings.ReplaceAll(strings.TrimSuffix(strings.TrimSpace(line), ";"), "`tailed`.", "`copied`."))
					}
				}
				if a, b := sum(t, s, "tailed"), sum(t, s, "copied"); a != b {
					t.Errorf("tables differ: %s and %s\n%s", a, b, &r.out)
				}
			})
			t.Run("nowhere", func(t *testing.T) {
				r := startTail(t, nil, "--from", "mysql-bin.999999:4", url(s, "tailed"))
				if err := r.cmd.Wait(); err == nil || !strings.Contains(r.err.String(), "does not reach back that far") {
					t.Errorf("%v\n%s", err, &r.err)
				}
			})
		})
	}
}

func sum(t *testing.T, s *harness.Server, schema string) string {
	t.Helper()
	c, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	res, err := c.Execute("SELECT IFNULL(GROUP_CONCAT(CONCAT(id,'=',IFNULL(v,'NULL')) ORDER BY id),'empty') FROM " + schema + ".t")
	if err != nil {
		t.Fatal(err)
	}
	text, err := res.GetString(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Clone(text)
}

// end is where the source's binlog ends, with its GTIDs where it has them.
func end(t *testing.T, s *harness.Server) (file string, offset uint64, gtids string) {
	t.Helper()
	c, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	res, err := c.Execute("SHOW MASTER STATUS")
	if err != nil {
		res, err = c.Execute("SHOW BINARY LOG STATUS")
	}
	if err != nil {
		t.Fatal(err)
	}
	name, _ := res.GetString(0, 0)
	file = strings.Clone(name)
	offset, _ = res.GetUint(0, 1)
	for _, query := range []string{"SELECT @@global.gtid_executed", "SELECT @@global.gtid_binlog_pos"} {
		if res, err := c.Execute(query); err == nil {
			text, _ := res.GetString(0, 0)
			gtids = strings.Clone(text)
		}
	}
	return file, offset, gtids
}

// TestTailExplains: a source without a binlog and an account without rights
// are told what to do, with exit code 1.
func TestTailExplains(t *testing.T) {
	v := harness.Versions()[0]
	s, err := harness.StartServer(t.Context(), v, t.TempDir(), "--skip-log-bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	r := startTail(t, nil, url(s, ""))
	if err := r.cmd.Wait(); err == nil || !strings.Contains(r.err.String(), "repair: log_bin=mysql-bin") {
		t.Errorf("%v\n%s", err, &r.err)
	}
	shared := harness.Shared(t, v)
	shared.Exec(t, "CREATE USER 'poor'@'127.0.0.1' IDENTIFIED BY 'poor-Pass.1'", "GRANT SELECT ON *.* TO 'poor'@'127.0.0.1'")
	t.Cleanup(func() { drop(t, shared, "DROP USER 'poor'@'127.0.0.1'") })
	r = startTail(t, nil, "mysql://poor:poor-Pass.1@"+shared.Addr)
	err = r.cmd.Wait()
	for _, want := range []string{"GRANT REPLICATION CLIENT ON *.* TO 'poor'"} {
		if err == nil || !strings.Contains(r.err.String(), want) {
			t.Errorf("%v\n%s", err, &r.err)
		}
	}
	if strings.Contains(r.err.String(), "poor-Pass.1") {
		t.Error("the password is shown")
	}
	r = startTail(t, nil, "mysql://poor:wrong-Pass.1@"+shared.Addr)
	if err := r.cmd.Wait(); err == nil || !strings.Contains(r.err.String(), "Access denied") || strings.Contains(r.err.String(), "wrong-Pass.1") {
		t.Errorf("%v\n%s", err, &r.err)
	}
}

func drop(t *testing.T, s *harness.Server, sql string) {
	c, err := s.Conn(context.WithoutCancel(t.Context()))
	if err == nil {
		_, err = c.Execute(sql)
		_ = c.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

// TestTailCanal looks at what a server delivers while its client goes on.
func TestTailCanal(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS fault_looked", "CREATE DATABASE fault_looked", "CREATE TABLE fault_looked.t (id INT PRIMARY KEY)")
	c := harness.StartCanald(t, s, "", map[string]string{"looked": `canal.instance.filter.regex=fault_looked\\..*`})
	owner := dial(t, c, "looked")
	r := startTail(t, nil, "--canal", c.Addr+"/looked")
	until(t, c, "/instances", 200, `"client_id": 1002`)
	s.Exec(t, "INSERT INTO fault_looked.t VALUES (1),(2)")
	r.wait(t, "+ fault_looked.t id=2")
	if got := receive(t, owner, 2); got != 2 {
		t.Errorf("the owner got %d of 2 rows", got)
	}
	r.end(t)
	if _, text := look(t, c, "/instances"); strings.Contains(text, "1002") {
		t.Errorf("the looker is still subscribed:\n%s", text)
	}
}
