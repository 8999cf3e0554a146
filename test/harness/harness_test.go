package harness_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/canald/canald/test/harness"
)

// childVariable makes this binary start a server in the folder it names, print
// the address and wait to be killed.
const childVariable = "CANALD_HARNESS_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		s, err := harness.StartServer(context.Background(), harness.Versions()[0], dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stdout, s.Addr)
		select {}
	}
	code := harness.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// variable returns a global variable of the server.
func variable(t *testing.T, s *harness.Server, name string) string {
	t.Helper()
	conn, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	result, err := conn.Execute("SHOW GLOBAL VARIABLES LIKE '" + name + "'")
	if err != nil {
		t.Fatal(err)
	}
	value, err := result.GetString(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestServersRun(t *testing.T) {
	for _, v := range harness.Versions() {
		t.Run(string(v), func(t *testing.T) {
			s := harness.Shared(t, v)
			if again := harness.Shared(t, v); again != s {
				t.Errorf("Shared gave two servers")
			}
			if got := variable(t, s, "binlog_format"); got != "ROW" {
				t.Errorf("binlog_format is %q, want ROW", got)
			}
			if got := variable(t, s, "log_bin"); got != "ON" {
				t.Errorf("log_bin is %q, want ON", got)
			}
			s.Exec(t,
				"CREATE DATABASE smoke",
				"USE smoke",
				"CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20))",
				"INSERT INTO t VALUES (1, 'é'), (2, '漢')")
			conn, err := s.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			result, err := conn.Execute("SELECT name FROM smoke.t WHERE id = 2")
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := result.GetString(0, 0); got != "漢" {
				t.Errorf("read back %q", got)
			}
			canal, err := s.ConnAs(t.Context(), s.User, s.Password)
			if err != nil {
				t.Fatal(err)
			}
			defer canal.Close()
			if result, err = canal.Execute("SELECT CURRENT_USER(), COUNT(*) FROM smoke.t"); err != nil {
				t.Fatal(err)
			}
			user, _ := result.GetString(0, 0)
			if rows, _ := result.GetInt(0, 1); user != "canal@%" || rows != 2 {
				t.Errorf("%s reads %d rows", user, rows)
			}
			if result, err = conn.Execute("SHOW BINARY LOGS"); err != nil {
				t.Fatal(err)
			}
			if got, _ := result.GetString(0, 0); got != "mysql-bin.000001" {
				t.Errorf("first binlog is %q", got)
			}
		})
	}
}

func TestServerKeepsItsDataOverCrashAndRestart(t *testing.T) {
	for _, v := range harness.Versions() {
		t.Run(string(v), func(t *testing.T) {
			s, err := harness.StartServer(t.Context(), v, t.TempDir(), "--max-connections=17")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
			})
			if got := variable(t, s, "max_connections"); got != "17" {
				t.Errorf("max_connections is %q: the extra option was lost", got)
			}
			addr := s.Addr
			s.Exec(t, "CREATE DATABASE kept")
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Conn(t.Context()); err == nil {
				t.Fatal("a killed server answers")
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s.Addr != addr {
				t.Errorf("address went from %s to %s", addr, s.Addr)
			}
			s.Exec(t, "DROP DATABASE kept")
		})
	}
}

func TestServerEndsWithAKilledTestBinary(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+t.TempDir())
	child.Stderr = os.Stderr
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	addr, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr = strings.TrimSpace(addr)
	// An open connection ends with the server, which is a thing one can wait for.
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the server outlived the process that started it")
	}
	// A process that dies closes its sockets one after the other.
	for late := time.Now().Add(10 * time.Second); ; {
		again, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		again.Close()
		if time.Now().After(late) {
			t.Fatal("somebody still listens on the server's port")
		}
	}
}

func TestStartServerErrors(t *testing.T) {
	if _, err := harness.StartServer(t.Context(), "mysql-4.0", t.TempDir()); err == nil {
		t.Error("an unknown version started")
	}
	if _, err := harness.StartServer(t.Context(), harness.Versions()[0], t.TempDir(), "--no-such-option"); err == nil {
		t.Error("a server with an unknown option started")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := harness.StartServer(ctx, harness.Versions()[0], t.TempDir()); err == nil {
		t.Error("a start with an ended context succeeded")
	}
}

func TestVersion(t *testing.T) {
	for _, test := range []struct {
		version      harness.Version
		major, minor int
		mysql, want  bool
	}{
		{harness.MySQL97, 9, 7, true, true},
		{harness.MySQL97, 8, 0, true, true},
		{harness.MySQL55, 5, 6, true, false},
		{harness.MariaDB102, 10, 11, false, false},
		{harness.MariaDB1011, 10, 2, false, true},
		{harness.MariaDB114, 10, 11, false, true},
	} {
		if got := test.version.AtLeast(test.major, test.minor); got != test.want {
			t.Errorf("%s.AtLeast(%d, %d) = %t", test.version, test.major, test.minor, got)
		}
		if got := test.version.MySQL(); got != test.mysql {
			t.Errorf("%s.MySQL() = %t", test.version, got)
		}
	}
}

func TestVersionsFromEnvironment(t *testing.T) {
	t.Setenv("CANALD_TEST_SOURCES", " mysql-5.6, mariadb-11.4,")
	if got, want := harness.Versions(), []harness.Version{harness.MySQL56, harness.MariaDB114}; !slices.Equal(got, want) {
		t.Errorf("Versions() = %v, want %v", got, want)
	}
	t.Setenv("CANALD_TEST_SOURCES", "")
	if got, want := harness.Versions(), []harness.Version{harness.MySQL97, harness.MariaDB1011}; !slices.Equal(got, want) {
		t.Errorf("Versions() = %v, want %v", got, want)
	}
}
