package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/test/harness"
)

// complaint runs an instance until it has an error to report, and returns its text.
func complaint(t *testing.T, cfg instance.Config) string {
	t.Helper()
	core, logs := observer.New(zapcore.ErrorLevel)
	i, err := instance.New(cfg, meta.Memory{}, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	text := ""
	eventually(t, "an error", func() bool {
		for _, e := range logs.All() {
			for _, f := range e.Context {
				if err, ok := f.Interface.(error); ok {
					text = err.Error()
				}
			}
		}
		return text != ""
	})
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	return text
}

// user makes an account anew; with is what follows its name in CREATE USER.
func user(t *testing.T, s *harness.Server, name, with string, grants ...string) {
	t.Helper()
	conn, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Execute("DROP USER '" + name + "'@'%'") // there is none the first time
	s.Exec(t, "CREATE USER '"+name+"'@'%' "+with)
	for _, g := range grants {
		s.Exec(t, "GRANT "+g+" TO '"+name+"'@'%'")
	}
}

const enough = "SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.*"

func TestSourceRefuses(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "refuses1", 4401)
		sc.exec(idTable)
		user(t, s, "norights", "IDENTIFIED BY 'secret'")
		user(t, s, "nodump", "IDENTIFIED BY 'secret'", "SELECT, REPLICATION CLIENT ON *.*")
		for _, c := range []struct {
			name, user, password string
			want                 []string
		}{
			{"wrong password", s.User, "wrong", []string{"Access denied", "canal.instance.dbPassword"}},
			{"no such user", "nobody", "x", []string{"Access denied", "GRANT"}},
			{"no rights", "norights", "secret", []string{"GRANT"}},
			{"no right to dump", "nodump", "secret", []string{"GRANT"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				cfg := sc.config
				cfg.Source.User, cfg.Source.Password = c.user, c.password
				text := complaint(t, cfg)
				for _, w := range c.want {
					if !strings.Contains(text, w) {
						t.Errorf("%q is not in %q", w, text)
					}
				}
				if strings.Contains(text, c.password) && c.password == "secret" {
					t.Errorf("the password is in %q", text)
				}
			})
		}
	})
}

func TestSourceWithoutBinlog(t *testing.T) {
	each(t, func(t *testing.T, shared *harness.Server) {
		s := ownServer(t, shared.Version, "--skip-log-bin")
		if text := complaint(t, config(s, "nobinlog1", 4402)); !strings.Contains(text, "log_bin") {
			t.Errorf("got %q", text)
		}
	})
}

// flows checks that rows arrive with the scene's settings.
func (sc *scene) flows() {
	sc.t.Helper()
	sc.begin("")
	sc.exec("DELETE FROM t", "INSERT INTO t VALUES (1, 'x')")
	rows := sc.rows()
	if n := len(rows); n == 0 || rows[n-1].String() != "t INSERT id=1 v=x" {
		sc.t.Errorf("got %v", rows)
	}
	sc.c.stop()
}

func TestLogins(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "logins1", 4403)
		sc.exec(idTable)
		with := func(name, password string) {
			t.Run(name, func(t *testing.T) {
				c := *sc
				c.t = t
				c.config.Source.User, c.config.Source.Password = name, password
				c.flows()
				sc.marks = c.marks
			})
		}
		long := strings.Repeat("0123456789", 4)
		user(t, s, "long", "IDENTIFIED BY '"+long+"'", enough)
		with("long", long)
		if s.MySQL() && s.AtLeast(8, 0) {
			user(t, s, "sha2", "IDENTIFIED WITH caching_sha2_password BY 'pass'", enough)
			s.Exec(t, "FLUSH PRIVILEGES") // empties the server's cache: the login has to be a full one
			with("sha2", "pass")
			with("sha2", "pass")
		}
	})
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// The old servers know TLS 1.0 only, if any.
func hasTLS(v harness.Version) bool {
	return v.MySQL() && v.AtLeast(8, 0) || !v.MySQL() && v.AtLeast(10, 11)
}

func TestTLS(t *testing.T) {
	eachOf(t, hasTLS, func(t *testing.T, shared *harness.Server) {
		cert, key := selfSigned(t)
		s := ownServer(t, shared.Version, "--ssl-cert="+cert, "--ssl-key="+key)
		sc := newScene(t, s, "tls1", 4404)
		sc.exec(idTable)
		user(t, s, "tlsonly", "IDENTIFIED BY 'pass' REQUIRE SSL", enough)
		sc.config.Source.User, sc.config.Source.Password = "tlsonly", "pass"
		for _, mode := range []binlog.TLSMode{binlog.TLSRequired, binlog.TLSPreferred} {
			sc.config.Source.TLS = mode
			sc.flows()
		}
		if s.MySQL() {
			user(t, s, "sha2", "IDENTIFIED WITH caching_sha2_password BY 'pass' REQUIRE SSL", enough)
			s.Exec(t, "FLUSH PRIVILEGES")
			sc.config.Source.User = "sha2"
			sc.flows()
		}
		for mode, want := range map[binlog.TLSMode]string{
			binlog.TLSDisabled: "Access denied", binlog.TLSVerifyCA: "certificate", binlog.TLSVerifyIdentity: "certificate",
		} {
			cfg := sc.config
			cfg.Source.TLS = mode
			if text := complaint(t, cfg); !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in %q", mode, want, text)
			}
		}
	})
}

func TestNoTLS(t *testing.T) {
	each(t, func(t *testing.T, shared *harness.Server) {
		args := []string{"--skip-ssl"}
		switch {
		case shared.MySQL() && shared.AtLeast(8, 0):
			args[0] = "--tls-version="
		case shared.MySQL() && !shared.AtLeast(5, 6):
			args = nil // built without it
		}
		s := ownServer(t, shared.Version, args...)
		sc := newScene(t, s, "notls1", 4405)
		sc.exec(idTable)
		sc.config.Source.TLS = binlog.TLSPreferred
		sc.flows()
		sc.config.Source.TLS = binlog.TLSRequired
		if text := complaint(t, sc.config); !strings.Contains(strings.ToLower(text), "tls") && !strings.Contains(strings.ToLower(text), "ssl") {
			t.Errorf("got %q", text)
		}
	})
}

// query returns a result's cells as text.
func query(t *testing.T, s *harness.Server, sql string) [][]string {
	t.Helper()
	conn, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	res, err := conn.Execute(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var rows [][]string
	for i := range res.RowNumber() {
		var row []string
		for j := range res.ColumnNumber() {
			cell, err := res.GetString(i, j)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, strings.Clone(cell))
		}
		rows = append(rows, row)
	}
	return rows
}

// place is the end of the server's binlog.
func place(t *testing.T, s *harness.Server) (file string, offset uint64) {
	t.Helper()
	sql := "SHOW MASTER STATUS"
	if s.MySQL() && s.AtLeast(8, 4) {
		sql = "SHOW BINARY LOG STATUS"
	}
	row := query(t, s, sql)[0]
	if _, err := fmt.Sscan(row[1], &offset); err != nil {
		t.Fatal(err)
	}
	return row[0], offset
}

func TestStartPlace(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "place1", 4406)
		sc.exec(idTable, "FLUSH LOGS")
		from := func(name string, at binlog.StartConfig, want []int) {
			t.Run(name, func(t *testing.T) {
				c := *sc
				c.t, c.config.Start = t, at
				c.begin("")
				sameIDs(t, name, idsOf(t, c.entries()), want)
				c.c.stop()
				sc.marks = c.marks
			})
		}
		file, first := place(t, s)
		later := time.Now().Unix() + 1000
		sc.insertIDs(1, 3)
		_, middle := place(t, s)
		sc.exec(fmt.Sprintf("SET TIMESTAMP=%d", later), "INSERT INTO t VALUES (4, '')", "INSERT INTO t VALUES (5, '')")
		_, before := place(t, s)
		sc.exec("BEGIN", "INSERT INTO t VALUES (6, '')", "INSERT INTO t VALUES (7, '')", "INSERT INTO t VALUES (8, '')", "COMMIT")
		from("the file's begin", binlog.StartConfig{File: file}, upTo(1, 8))
		from("an offset", binlog.StartConfig{File: file, Offset: middle}, upTo(4, 8))
		from("the first offset", binlog.StartConfig{File: file, Offset: first}, upTo(1, 8))
		from("a timestamp", binlog.StartConfig{File: file, Timestamp: later * 1000}, upTo(4, 8))

		var maps, rows []uint64
		for _, event := range query(t, s, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d LIMIT 12", file, before)) {
			var offset uint64
			if _, err := fmt.Sscan(event[1], &offset); err != nil {
				t.Fatal(err)
			}
			switch {
			case event[2] == "Table_map":
				maps = append(maps, offset)
			case strings.HasPrefix(event[2], "Write_rows"):
				rows = append(rows, offset)
			}
		}
		if len(maps) < 3 || len(rows) < 3 {
			t.Fatalf("maps at %v, rows at %v", maps, rows)
		}
		from("rows inside a transaction", binlog.StartConfig{File: file, Offset: rows[1]}, upTo(6, 8))
		from("a table map inside a transaction", binlog.StartConfig{File: file, Offset: maps[1]}, upTo(6, 8))
	})
}
