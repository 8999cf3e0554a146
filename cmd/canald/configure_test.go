package main_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func output(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func TestConfigDocument(t *testing.T) {
	want, err := os.ReadFile("../../docs/CONFIG.md")
	if err != nil {
		t.Fatal(err)
	}
	if output(t, "config", "keys", "--format", "markdown") != string(want) {
		t.Error("docs/CONFIG.md is not what `canald config keys --format markdown` prints")
	}
}

func TestConfigKeys(t *testing.T) {
	var rows []map[string]any
	if err := json.Unmarshal([]byte(output(t, "config", "keys", "--format", "json")), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) < 120 {
		t.Errorf("%d keys", len(rows))
	}
	if out := output(t, "config", "keys", "SLAVEID"); strings.Count(out, "\n") != 2 || !strings.HasPrefix(out, "canal.instance.mysql.slaveId (integer") {
		t.Errorf("one key: %q", out)
	}
	if out := fails(t, "config", "keys", "--format", "xml"); !strings.Contains(out, "text, json or markdown") {
		t.Errorf("output %q", out)
	}
}

func TestConfigPrintAndCheck(t *testing.T) {
	dir := home(t, map[string]string{
		mainPath: mainFile + "canal.instance.dbPassword=hunter2\ncanal.nonsense=1\ncanal.prot=1\ncanal.instance.standby.address=db:2\n",
		ownPath:  "canal.instance.master.address=127.0.0.1:1\n",
	})
	out := output(t, "--home", dir, "-Dcanal.user=", "config", "print", "d", "--set")
	for _, want := range []string{
		`canal.instance.master.address   "127.0.0.1:1"  conf/d/instance.properties:1`,
		`canal.instance.dbPassword       "******"       conf/canal.properties:6`,
		`conf/canal.properties:9       without effect: fail-over to a second source`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	out = output(t, "--home", dir, "config", "check")
	for _, want := range []string{
		"warning: canal.serverMode is not set", "unknown key: canal.nonsense", "warning: conf/canal.properties:8: canal.prot: unknown; is canal.port meant?",
		"without effect: conf/canal.properties:9: canal.instance.standby.address: ", "no problem in the main file and 1 instances",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if out := fails(t, "--home", dir, "-Dcanal.auto.scan=true", "-Dcanal.instance.master.address=db1", "config", "check"); !strings.Contains(out, `command line: canal.instance.master.address: "db1": missing port`) {
		t.Errorf("output:\n%s", out)
	}
	if strings.Contains(out, "hunter2") {
		t.Error("a secret is shown")
	}
}

// TestJavaOptions: -D in JAVA_OPTS counts, less than on the command line.
func TestJavaOptions(t *testing.T) {
	dir := home(t, map[string]string{mainPath: mainFile})
	cmd := command(t, "--home", dir, "-Dcanal.user=a", "-Dcanal.passwd=e3619321c1a937c46a0d8bd1dac39f93b27d4458", "config", "print", "--set")
	cmd.Env = append(os.Environ(), `JAVA_OPTS=-server -Xmx3g "-Dcanal.ip=10.1.2.3" -Dcanal.user=b -Dappender`)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`"10.1.2.3"`, `"a" `} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s is missing in\n%s", want, out)
		}
	}
}
