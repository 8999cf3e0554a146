package integration

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/check"
	settings "github.com/canald/canald/internal/config"
	"github.com/canald/canald/test/harness"
)

// installation is a home that a test breaks in one place.
type installation struct {
	t      *testing.T
	s      *harness.Server
	dir    string
	main   map[string]string
	own    map[string]string
	opts   check.Options
	secret string
}

func newInstallation(t *testing.T, s *harness.Server) *installation {
	return &installation{
		t: t, s: s, dir: t.TempDir(), secret: s.Password,
		main: map[string]string{
			"canal.ip": "127.0.0.1", "canal.port": fmt.Sprint(harness.FreePort()), "canal.metrics.pull.port": fmt.Sprint(harness.FreePort()),
			"canald.metrics.ip": "127.0.0.1", "canal.serverMode": "tcp", "canal.instance.global.lazy": "false", "canal.destinations": "d",
			"canal.instance.global.spring.xml": "file-instance.xml",
		},
		own: map[string]string{
			"canal.instance.master.address": s.Addr, "canal.instance.dbUsername": s.User, "canal.instance.dbPassword": s.Password,
			"canal.instance.mysql.slaveId": "4711",
		},
	}
}

func (h *installation) write(path, text string) {
	h.t.Helper()
	path = filepath.Join(h.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *installation) check() *check.Report {
	h.t.Helper()
	for path, keys := range map[string]map[string]string{"conf/canal.properties": h.main, "conf/d/instance.properties": h.own} {
		if keys == nil {
			continue
		}
		var b strings.Builder
		for k, v := range keys {
			fmt.Fprintf(&b, "%s=%s\n", k, strings.ReplaceAll(v, `\`, `\\`))
		}
		h.write(path, b.String())
	}
	h.opts.Config, h.opts.Patience = settings.Options{Home: h.dir}, time.Second
	r, err := check.Run(h.t.Context(), h.opts)
	if err != nil {
		h.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		h.t.Fatal(err)
	}
	// The test account's password is a word that the page may well contain.
	if h.secret != h.s.Password && strings.Contains(b.String(), h.secret) {
		h.t.Errorf("the page shows a secret:\n%s", &b)
	}
	return r
}

// cursor is a meta.dat with one client.
func cursor(file string, offset uint64) string {
	return fmt.Sprintf(`{"clientDatas":[{"clientIdentity":{"clientId":1001,"destination":"d","filter":""},"cursor":{"identity":{"slaveId":-1,"sourceAddress":{"address":"localhost","port":3306}},`+
		`"postion":{"gtid":"","included":false,"journalName":%q,"position":%d,"serverId":1,"timestamp":1700000000000}}}],"destination":"d"}`, file, offset)
}

// archiveIn keeps structures in a database of the source itself.
func archiveIn(h *installation, database string) {
	h.own["canal.instance.tsdb.enable"] = "true"
	h.own["canal.instance.tsdb.spring.xml"] = "classpath:spring/tsdb/mysql-tsdb.xml"
	h.own["canal.instance.tsdb.url"] = "jdbc:mysql://" + h.s.Addr + "/" + database
	h.own["canal.instance.tsdb.dbUsername"], h.own["canal.instance.tsdb.dbPassword"] = h.s.User, h.s.Password
}

// TestCheck breaks a good installation in one place after the other: the good
// one has neither problem nor warning, each broken one has the expected finding.
func TestCheck(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		s.Exec(t, "CREATE DATABASE IF NOT EXISTS checked", "CREATE TABLE IF NOT EXISTS checked.t(id INT PRIMARY KEY)")
		set := func(name, value string) func(*testing.T, *installation) {
			return func(t *testing.T, _ *installation) {
				c, err := s.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				res, err := c.Execute("SELECT @@GLOBAL." + name)
				if err != nil {
					t.Fatal(err)
				}
				old, _ := res.GetString(0, 0)
				old = strings.Clone(old)
				s.Exec(t, "SET GLOBAL "+name+"="+value)
				t.Cleanup(func() {
					if strings.Trim(old, "0123456789.") != "" || old == "" {
						old = "'" + old + "'"
					}
					c, err := s.Conn(context.WithoutCancel(t.Context()))
					if err == nil {
						_, err = c.Execute("SET GLOBAL " + name + "=" + strings.TrimSuffix(old, ".000000"))
						_ = c.Close()
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		account := func(name, grant string) func(*testing.T, *installation) {
			return func(t *testing.T, h *installation) {
				user := "'" + name + "'@'127.0.0.1'"
				s.Exec(t, "CREATE USER "+user+" IDENTIFIED BY 'chk-Pass.1'", "GRANT "+grant+" TO "+user)
				t.Cleanup(func() {
					c, err := s.Conn(context.WithoutCancel(t.Context()))
					if err == nil {
						_, err = c.Execute("DROP USER " + user)
						_ = c.Close()
					}
					if err != nil {
						t.Error(err)
					}
				})
				h.own["canal.instance.dbUsername"], h.own["canal.instance.dbPassword"] = name, "chk-Pass.1"
				h.secret = "chk-Pass.1"
			}
		}
		mainKey := func(k, v string) func(*testing.T, *installation) {
			return func(_ *testing.T, h *installation) { h.main[k] = v }
		}
		ownKey := func(k, v string) func(*testing.T, *installation) {
			return func(_ *testing.T, h *installation) { h.own[k] = v }
		}
		busy := func(key string) func(*testing.T, *installation) {
			return func(t *testing.T, h *installation) {
				l, err := net.Listen("tcp", "127.0.0.1:"+h.main[key])
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = l.Close() })
			}
		}
		lists := s.Version != harness.MySQL55 // which shows its binlogs to SUPER only
		type fault struct {
			code    string
			level   check.Level
			prepare func(*testing.T, *installation)
			has     bool
		}
		faults := []fault{
			{"config", check.Problem, mainKey("canal.port", "many"), true},
			{"config-warning", check.Warning, mainKey("canal.prot", "11111"), true},
			{"without-effect", check.Warning, ownKey("canal.instance.standby.address", "db2:3306"), true},
			{"instance-config", check.Problem, ownKey("canal.instance.memory.buffer.size", "1000"), true},
			{"instance-missing", check.Problem, mainKey("canal.destinations", "d,e"), true},
			{"no-destination", check.Problem, mainKey("canal.destinations", ""), true},
			{"scan", check.Problem, func(_ *testing.T, h *installation) {
				h.main["canal.auto.scan"], h.main["canal.conf.dir"] = "true", "../nowhere"
			}, true},
			{"client-port", check.Problem, busy("canal.port"), true},
			{"metrics-port", check.Warning, busy("canal.metrics.pull.port"), true},
			{"zookeeper", check.Problem, mainKey("canal.zkServers", "127.0.0.1:1"), true},
			{"zookeeper", check.Warning, func(t *testing.T, h *installation) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = l.Close() })
				h.main["canal.zkServers"] = l.Addr().String() + ",127.0.0.1:1"
			}, true},
			{"logs-folder", check.Problem, func(_ *testing.T, h *installation) { h.write("logs", "") }, true},
			{"data-folder", check.Problem, func(_ *testing.T, h *installation) {
				h.write("data", "")
				h.own["canal.file.data.dir"] = "../data"
			}, true},
			{"meta-broken", check.Problem, func(_ *testing.T, h *installation) { h.write("conf/d/meta.dat", `{"clientDatas":[`) }, true},
			{"cursor-purged", check.Problem, func(_ *testing.T, h *installation) { h.write("conf/d/meta.dat", cursor("mysql-bin.000000", 4)) }, lists},
			{"cursor-ahead", check.Problem, func(_ *testing.T, h *installation) {
				files, err := binlog.Files(h.t.Context(), binlog.Config{Addr: s.Addr, User: s.User, Password: s.Password})
				if err != nil {
					h.t.Fatal(err)
				}
				h.write("conf/d/meta.dat", cursor(files[len(files)-1], 1<<40))
			}, lists},
			{"start-purged", check.Problem, ownKey("canal.instance.master.journal.name", "mysql-bin.999999"), lists},
			{"tsdb-database", check.Problem, func(_ *testing.T, h *installation) { archiveIn(h, "no_such_store") }, true},
			{"tsdb-database", check.Problem, func(_ *testing.T, h *installation) {
				archiveIn(h, "checked")
				h.own["canal.instance.tsdb.dbPassword"] = "wrong"
			}, true},
			{"source-unreachable", check.Problem, ownKey("canal.instance.master.address", "127.0.0.1:1"), true},
			{"source-name", check.Problem, ownKey("canal.instance.master.address", "no-such-host.invalid:3306"), true},
			{"source-login", check.Problem, func(_ *testing.T, h *installation) {
				h.secret = "wrong-Pass.1"
				h.own["canal.instance.dbPassword"] = h.secret
			}, true},
			{"grant-client", check.Problem, account("chk_client", "SELECT, REPLICATION SLAVE ON *.*"), true},
			{"grant-replica", check.Problem, account("chk_replica", "SELECT, REPLICATION CLIENT ON *.*"), true},
			{"no-tables", check.Warning, account("chk_select", "REPLICATION SLAVE, REPLICATION CLIENT ON *.*"), true},
			{"filter-empty", check.Warning, ownKey("canal.instance.filter.regex", `nothing\.here`), true},
			{"slave-id-source", check.Problem, func(_ *testing.T, h *installation) {
				h.own["canal.instance.mysql.slaveId"] = fmt.Sprint(100000 + s.Port)
			}, true},
			{"slave-id-twice", check.Problem, func(_ *testing.T, h *installation) {
				h.main["canal.destinations"] = "d,e"
				h.write("conf/e/instance.properties", fmt.Sprintf("canal.instance.master.address=%s\ncanal.instance.dbUsername=%s\ncanal.instance.dbPassword=%s\ncanal.instance.mysql.slaveId=4711", s.Addr, s.User, s.Password))
			}, true},
			{"slave-id-taken", check.Problem, func(t *testing.T, h *installation) {
				account("chk_all", "ALL ON *.*")(t, h) // MariaDB shows replicas to few
				c := start(t, "", config(s, "other", 4711))
				connect(t, c, "other", 1001)
				eventually(t, "the other replica registers", func() bool {
					conn, err := s.Conn(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					res, err := conn.Execute("SHOW REPLICAS")
					if err != nil {
						res, err = conn.Execute("SHOW SLAVE HOSTS")
					}
					if err != nil {
						t.Fatal(err)
					}
					for i := range res.RowNumber() {
						if id, _ := res.GetUint(i, 0); id == 4711 {
							return true
						}
					}
					return false
				})
			}, true},
			{"binlog-format", check.Problem, set("binlog_format", "'STATEMENT'"), true},
			{"row-image", check.Warning, set("binlog_row_image", "'MINIMAL'"), s.AtLeast(5, 6)},
			{"partial-json", check.Warning, set("binlog_row_value_options", "'PARTIAL_JSON'"), s.MySQL() && s.AtLeast(8, 0)},
			{"retention", check.Warning, set("binlog_expire_logs_seconds", "3600"), s.MySQL() && s.AtLeast(8, 0)},
			{"retention", check.Warning, set("expire_logs_days", "0.5"), s.Version == harness.MariaDB1011 || s.Version == harness.MariaDB114},
			{"time-zone", check.Warning, set("time_zone", "'-11:00'"), true},
			{"log-bin", check.Problem, func(t *testing.T, h *installation) {
				bare, err := harness.StartServer(t.Context(), s.Version, t.TempDir(), "--skip-log-bin")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = bare.Stop() })
				h.own["canal.instance.master.address"] = bare.Addr
				h.own["canal.instance.dbUsername"], h.own["canal.instance.dbPassword"] = bare.User, bare.Password
			}, true},
		}
		t.Run("good", func(t *testing.T) {
			for _, f := range newInstallation(t, s).check().Findings {
				if f.Level == check.Problem || f.Level == check.Warning {
					t.Errorf("%+v", f)
				}
			}
		})
		t.Run("good archive", func(t *testing.T) {
			if !hasGreeting(s.Version) {
				return // which the check says, as a problem
			}
			h := newInstallation(t, s)
			archiveIn(h, "checked")
			for _, f := range h.check().Findings {
				if f.Level == check.Problem || f.Level == check.Warning {
					t.Errorf("%+v", f)
				}
			}
			if tables := query(t, s, "SELECT count(*) FROM information_schema.tables WHERE table_schema='checked' AND table_name LIKE 'meta%'")[0][0]; tables != "0" {
				t.Errorf("looking made %s tables", tables)
			}
		})
		found := 0
		for _, f := range faults {
			if !f.has {
				continue
			}
			t.Run(f.code, func(t *testing.T) {
				h := newInstallation(t, s)
				f.prepare(t, h)
				r := h.check()
				i := slices.IndexFunc(r.Findings, func(x check.Finding) bool { return x.Code == f.code && x.Level == f.level })
				if i < 0 {
					t.Fatalf("not found; there is %+v", r.Findings)
				}
				if x := r.Findings[i]; x.What == "" || x.Repair == "" {
					t.Errorf("it does not say what repairs it: %+v", x)
				}
				found++
			})
		}
		t.Logf("%d faults found", found)
		if found < 20 {
			t.Errorf("only %d faults were prepared and found", found)
		}
	})
}

// TestCheckTakeOver looks at a home that a Java server left behind.
func TestCheckTakeOver(t *testing.T) {
	eachOf(t, func(v harness.Version) bool { return v != harness.MySQL55 }, func(t *testing.T, s *harness.Server) {
		h := newInstallation(t, s)
		files, err := binlog.Files(t.Context(), binlog.Config{Addr: s.Addr, User: s.User, Password: s.Password})
		if err != nil {
			t.Fatal(err)
		}
		at := files[len(files)-1]
		h.write("conf/d/meta.dat", cursor(at, 4))
		h.write("conf/d/h2.mv.db", "")
		h.write("conf/logback.xml", "")
		h.write("bin/canal.pid", fmt.Sprint(syscall.Getpid()))
		h.opts.Migrate = true
		r := h.check()
		got := map[string]string{}
		for _, f := range r.Findings {
			got[f.Code] = f.What
		}
		for code, part := range map[string]string{"cursor": "client 1001 goes on behind " + at, "tsdb": "h2.mv.db", "logback": "logback.xml", "old-server": "still runs"} {
			if !strings.Contains(got[code], part) {
				t.Errorf("%s: %q", code, got[code])
			}
		}
		var b bytes.Buffer
		if err := r.WriteJSON(&b); err != nil || !strings.Contains(b.String(), `"code": "old-server"`) {
			t.Errorf("JSON: %v\n%s", err, &b)
		}
		h.opts.Migrate = false
		if raw, err := os.ReadFile(filepath.Join(h.dir, "conf/d/meta.dat")); err != nil || string(raw) != cursor(at, 4) {
			t.Errorf("meta.dat was touched: %v", err)
		}
	})
}
