package install

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/client"
	"github.com/canald/canald/test/harness"
)

// TestOperatorsHome: the shipped configuration, in which an operator changed what
// has to be changed (canal.zkServers, or nothing, in one file; slaveId, address,
// user and password in the other), starts, shows its start in the instance's log,
// serves, and stops, twice in a row.
func TestOperatorsHome(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	for _, zk := range []bool{false, true} {
		for _, shell := range shells {
			t.Run(fmt.Sprintf("%s, ZooKeeper %v", shell, zk), func(t *testing.T) {
				h := newHome(t, shell)
				if err := os.RemoveAll(h.path("conf")); err != nil {
					t.Fatal(err)
				}
				if err := os.CopyFS(h.path("conf"), os.DirFS(filepath.Join(root, "conf"))); err != nil {
					t.Fatal(err)
				}
				// A test shares its machine: the ports are its own.
				change := map[string]string{
					"canal.port = 11111": fmt.Sprintf("canal.port = %d", h.port), "canal.metrics.pull.port = 11112": "canal.metrics.pull.port = 0", "canal.ip =\n": "canal.ip = 127.0.0.1\n",
				}
				if zk {
					change["canal.zkServers =\n"] = "canal.zkServers = " + harness.StartZooKeeper(t, 1).Servers + "\n"
				}
				edit(t, h.path("conf", "canal.properties"), change)
				edit(t, h.path("conf", "example", "instance.properties"), map[string]string{
					"# canal.instance.mysql.slaveId=0":             "canal.instance.mysql.slaveId=7301",
					"canal.instance.master.address=127.0.0.1:3306": "canal.instance.master.address=" + s.Addr,
					"canal.instance.dbUsername=canal":              "canal.instance.dbUsername=" + s.User,
					"canal.instance.dbPassword=canal":              "canal.instance.dbPassword=" + s.Password,
				})
				for range 2 {
					h.want(0, "canal conf : ", nil, "startup.sh")
					h.runs(h.port)
					serves(t, h)
					log := must(t, h.dir, nil, "tail", "-200", h.path("logs", "example", "example.log"))
					for _, line := range []string{"start CannalInstance for 1-example", "--> init table filter : ^.*\\..*$", "start successful....", "find start position successfully"} {
						if !strings.Contains(log, line) {
							t.Errorf("%q is missing in the log:\n%s", line, log)
						}
					}
					began := time.Now()
					h.want(0, "", nil, "stop.sh")
					h.gone()
					if took := time.Since(began); took > 10*time.Second {
						t.Errorf("stop.sh took %s", took)
					}
					if err := os.RemoveAll(h.path("logs", "example")); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// edit replaces lines of a shipped file, each of which has to be there.
func edit(t *testing.T, path string, lines map[string]string) {
	t.Helper()
	text := read(t, path)
	for from, to := range lines {
		if !strings.Contains(text, from) {
			t.Fatalf("%s has no line %q", path, from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	write(t, path, text)
}

// serves waits until a client may subscribe.
func serves(t *testing.T, h *home) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := client.Dial(t.Context(), client.Options{Addr: fmt.Sprintf("127.0.0.1:%d", h.port), Destination: "example"})
		if err == nil {
			err = conn.Subscribe(t.Context(), "")
			_ = conn.Close()
		}
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody is served: %v\n%s", err, read(t, h.path("logs", "canal", "canal.log")))
		}
	}
}
