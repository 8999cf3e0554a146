package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/config"
	"github.com/canald/canald/internal/zkconn"
)

// home makes an installation from the texts of its two files; an instance of
// "-" is left out.
func home(t *testing.T, main, instance string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "conf", "canal.properties"), main)
	if instance != "-" {
		write(t, filepath.Join(dir, "conf", "d", "instance.properties"), instance)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, o config.Options) *config.Config {
	t.Helper()
	c, err := config.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const wiring = "canal.instance.global.spring.xml=file-instance.xml\ncanal.destinations=d\n"

// TestBadFiles holds each file of testdata against the lines that it begins
// with: all problems, in this order, each as file:line: key: "value": what.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.properties")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(data)) {
				if l, ok := strings.CutPrefix(line, "#= "); ok {
					want = append(want, strings.TrimRight(l, "\n"))
				}
			}
			if strings.HasPrefix(filepath.Base(f), "server-") {
				_, err = config.Load(config.Options{Home: home(t, string(data), "-")})
			} else {
				_, err = load(t, config.Options{Home: home(t, wiring, string(data))}).Instance("d")
			}
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.Split(err.Error(), "\n")
			if len(got) != len(want) {
				t.Fatalf("problems:\n%s", err)
			}
			for i := range got {
				if open := strings.HasSuffix(want[i], ": "); got[i] != want[i] && (!open || !strings.HasPrefix(got[i], want[i])) {
					t.Errorf("got  %s\nwant %s", got[i], want[i])
				}
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Error("a secret is shown")
			}
		})
	}
}

func TestGoodServer(t *testing.T) {
	for _, c := range []struct {
		file  string
		check func(t *testing.T, c *config.Config)
	}{
		{"full", func(t *testing.T, c *config.Config) {
			equal(t, "listen", c.Listen, "127.0.0.1:22222")
			equal(t, "user", c.User, "canal")
			equal(t, "hash", c.PasswordHash, "E3619321C1A937C46A0D8BD1DAC39F93B27D4458")
			equal(t, "destinations", c.Destinations, []string{"a", "b", "c"})
			equal(t, "warnings", c.Warnings, []string{
				"canal.instance.global.lazy is not set; taking false", `destination "a" is listed twice`,
				"conf/canal.properties:8: canal.destinatons: unknown; is canal.destinations meant?",
			})
			equal(t, "unknown", c.Unknown, nil)
			equal(t, "inert", c.Inert, nil)
		}},
		{"empty", func(t *testing.T, c *config.Config) {
			equal(t, "listen", c.Listen, ":11111")
			equal(t, "destinations", c.Destinations, nil)
			equal(t, "warnings", c.Warnings, []string{
				"canal.withoutNetty is empty; taking false", "canal.serverMode is not set; taking tcp",
				"canal.instance.global.lazy is not set; taking false", "canal.destinations names no destination",
			})
		}},
		{"expr", func(t *testing.T, c *config.Config) {
			equal(t, "destinations", c.Destinations, []string{"d8", "d9", "d10", "d11"})
		}},
	} {
		t.Run(c.file, func(t *testing.T) {
			data, err := os.ReadFile("testdata/server-" + c.file + ".good.properties")
			if err != nil {
				t.Fatal(err)
			}
			c.check(t, load(t, config.Options{Home: home(t, string(data), "-")}))
		})
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %#v, want %#v", what, got, want)
	}
}

func TestGoodInstance(t *testing.T) {
	data, err := os.ReadFile("testdata/instance-full.good.properties")
	if err != nil {
		t.Fatal(err)
	}
	dir := home(t, wiring, string(data))
	in, err := load(t, config.Options{Home: dir}).Instance("d")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "charset", in.Charset.String(), "GBK")
	in.Charset = nil
	equal(t, "instance", in, config.Instance{
		Destination: "d",
		KeepCursors: true, DataDir: filepath.Join(dir, "data", "d"), FlushPeriod: 250 * time.Millisecond,
		HistoryFile: filepath.Join(dir, "data", "d", "d", "structures.db"), HistoryKeep: 360 * time.Hour,
		Address: "[::1]:3307", User: "joe", Password: "päss=word", Database: "shop", TLS: "REQUIRED", ServerID: 1234,
		QueryTimeout: 7 * time.Second,
		StartFile:    "mysql-bin.000004", StartOffset: 1 << 32, StartTimestampMillis: 1500000000000,
		Filter: `shop\..*,*.*`, BlackFilter: `mysql\.slave_.*`,
		SkipQueries: true, SkipDDL: true, SkipRows: true, SkipInserts: true, SkipUpdates: true, SkipDeletes: true,
		SkipBrokenTables: true, FilterMarkers: true, Formats: []string{"ROW", "MIXED"}, Images: []string{"FULL"},
		TransactionSize: 2048, Workers: 3, Slots: 32768, UnitBytes: 512, ItemMode: true, IsolateDDL: true,
		Weight: 7, Prefer: []string{"10.0.0.1:11111", "db2:11111"},
		ResetWhenPurged: true, AbsentAfter: 90 * time.Second,
		GTID: true, StartGTID: "0-1-5",
		Archive:      config.Archive{Addr: "meta:3306", Database: "canal_tsdb", User: "keeper", Password: "other", Interval: 12 * time.Hour},
		FullDecimals: true, MemberNames: true, StableTypes: true, WholeJSON: true, ServerJSON: true, OldFloats: true, PaddedBinary: true, ServerTypes: true,
		AllStatements: true, StatementNames: true, PlainNames: true, StatementTables: true, XAOnePhase: true, LoadData: true,
		ColumnCharsets: true, MariaBegin: true,
	})
}

// TestShippedFiles loads what is installed: nothing in it may be unknown or
// without effect, and the defaults are those of an empty file.
func TestShippedFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "conf"), os.DirFS("../../conf")); err != nil {
		t.Fatal(err)
	}
	c := load(t, config.Options{Home: dir, HostIPv4: net.IPv4(10, 1, 2, 3)})
	equal(t, "listen", c.Listen, ":11111")
	equal(t, "destinations", c.Destinations, []string{"example"})
	equal(t, "complaints", slices.Concat(c.Warnings, c.Unknown, c.Inert), nil)
	got, err := c.Instance("example")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "complaints", slices.Concat(got.Warnings, got.Unknown, got.Inert), nil)
	equal(t, "data", got.DataDir, filepath.Join(dir, "conf"))
	equal(t, "black", got.BlackFilter, `mysql\.slave_.*`)

	write(t, filepath.Join(dir, "conf", "canal.properties"), wiring)
	write(t, filepath.Join(dir, "conf", "example", "instance.properties"), "canal.instance.master.address=127.0.0.1:3306")
	want, err := load(t, config.Options{Home: dir, HostIPv4: net.IPv4(10, 1, 2, 3)}).Instance("example")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "default user", want.User, "retl")
	want.User, want.Password, want.BlackFilter = got.User, got.Password, got.BlackFilter
	want.Formats, want.Images = got.Formats, got.Images
	equal(t, "defaults", got, want)
}

// TestPrecedence sets one key in a choice of sources. "·" leaves a source
// alone; what is empty is set to nothing.
func TestPrecedence(t *testing.T) {
	const none = "·"
	for _, c := range []struct {
		name                       string
		define, environ, own, main string
		server, instance           string // values the two readers must find
	}{
		{"nothing", none, none, none, none, "", ".*\\..*"},
		{"main file", none, none, none, "m", "m", "m"},
		{"own file over main", none, none, "o", "m", "m", "o"},
		{"environment over files", none, "e", "o", "m", "e", "e"},
		{"command line over all", "d", "e", "o", "m", "d", "d"},
		{"blank command line hides the environment", " ", "e", "o", "m", "", "o"},
		{"blank environment", none, " ", "o", "m", "", "o"},
		{"blank own file hides the main file", none, none, "", "m", "m", ".*\\..*"},
		{"blank main file", none, none, none, "", "", ".*\\..*"},
		{"trimmed", none, none, none, " m\\t ", "m", "m"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The same sources for a key of the server and one of an instance.
			const serverKey, instanceKey = "canal.user", "canal.instance.filter.regex"
			main, own := wiring+"canal.passwd=e3619321c1a937c46a0d8bd1dac39f93b27d4458\n", "canal.instance.master.address=db:1\n"
			o := config.Options{Defines: map[string]string{}}
			for _, key := range []string{serverKey, instanceKey} {
				if c.main != none {
					main += key + "=" + c.main + "\n"
				}
				if c.own != none {
					own += key + "=" + c.own + "\n"
				}
				if c.environ != none {
					o.Environ = append(o.Environ, key+"="+c.environ)
				}
				if c.define != none {
					o.Defines[key] = c.define
				}
			}
			o.Home = home(t, main, own)
			before := maps.Clone(o.Defines)
			cfg := load(t, o)
			in, err := cfg.Instance("d")
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "server", cfg.User, c.server)
			equal(t, "instance", in.Filter, c.instance)
			equal(t, "caller's map", o.Defines, before)
		})
	}
}

func TestCaseOfKeys(t *testing.T) {
	cfg := load(t, config.Options{
		Home:    home(t, wiring+"Canal.User=other\ncanal.port.x=1\n", "-"),
		Environ: []string{"CANAL_PORT=1", "CANAL.PORT=2", "canal.ip=127.0.0.1"},
	})
	equal(t, "user", cfg.User, "")
	equal(t, "listen", cfg.Listen, "127.0.0.1:11111")
	equal(t, "misspelt", cfg.Warnings[len(cfg.Warnings)-2:], []string{
		"conf/canal.properties:3: Canal.User: unknown; is canal.user meant?",
		"conf/canal.properties:4: canal.port.x: unknown; is canal.port meant?",
	})
}

func TestReferences(t *testing.T) {
	var lines strings.Builder
	lines.WriteString("x0=aaaaaaaaaa\n")
	for i := range 30 {
		fmt.Fprintf(&lines, "x%d=%s\n", i+1, strings.Repeat(fmt.Sprintf("${x%d}", i), 10))
	}
	bomb := lines.String()
	for _, c := range []struct {
		name, text, more string
		want, err        string
	}{
		{name: "plain", text: "a", want: "a"},
		{name: "reference", text: "a${k}c", more: "k=b", want: "abc"},
		{name: "default", text: "${k: b }", want: "b"},
		{name: "default unused", text: "${k:c}", more: "k=b", want: "b"},
		{name: "blank takes the default", text: "${k:c}", more: "k=", want: "c"},
		{name: "first colon", text: "${k:a:b}", want: "a:b"},
		{name: "nothing found", text: "a${k}b", want: "ab"},
		{name: "not the program's default", text: "${canal.file.data.dir:x}", want: "x"},
		{name: "chain", text: "${k}", more: "k=${l}-\nl=${m:x}", want: "x-"},
		{name: "inside a reference", text: "${k${l}}", more: "l=1\nk1=v", want: "v"},
		{name: "inside a default", text: "${k:${l}}", more: "l=1", want: "1"},
		{name: "destination", text: "${canal.instance.destination}", want: "d"},
		{name: "main file", text: "${canal.destinations}", want: "d"},
		{name: "environment", text: "${USER_NAME}", want: "joe"},
		{name: "open", text: "a${k", more: "k=1", want: "a${k"},
		{name: "blank after all", text: "${k}", want: ".*\\..*"},
		{name: "itself", text: "${canal.instance.filter.regex}", err: "circular reference canal.instance.filter.regex → canal.instance.filter.regex"},
		{name: "bomb", text: "${x30}", more: bomb, err: "more than 1048576 bytes|too many"},
	} {
		t.Run(c.name, func(t *testing.T) {
			own := "canal.instance.master.address=db:1\ncanal.instance.filter.regex=" + c.text + "\n" + c.more
			in, err := load(t, config.Options{Home: home(t, wiring, own), Environ: []string{"USER_NAME=joe"}}).Instance("d")
			if c.err != "" {
				a, b, _ := strings.Cut(c.err, "|")
				if err == nil || !strings.Contains(err.Error(), a) && (b == "" || !strings.Contains(err.Error(), b)) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			// Patterns that do not compile are no matter of this test.
			if err != nil && !strings.Contains(err.Error(), "pattern") {
				t.Fatal(err)
			}
			if err == nil {
				equal(t, "value", in.Filter, c.want)
			} else if !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want the value %q", err, c.want)
			}
		})
	}
}

func TestMissingFiles(t *testing.T) {
	if _, err := config.Load(config.Options{Home: t.TempDir()}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("main file: %v", err)
	}
	c := load(t, config.Options{Home: home(t, wiring, "-")})
	if _, err := c.Instance("d"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("instance: %v", err)
	}
	for _, name := range []string{"..", "a/b", "", `a\b`} {
		if _, err := c.Instance(name); err == nil || errors.Is(err, fs.ErrNotExist) && name != "" {
			t.Errorf("instance %q: %v", name, err)
		}
	}
}

// TestMainFile: unlike Java, an instance reads the main file that the server read.
func TestMainFile(t *testing.T) {
	dir := home(t, "canal.port=1\ncanal.destinations=d", "canal.instance.master.address=db:1")
	other := filepath.Join(dir, "conf", "other.properties")
	write(t, other, wiring+"canal.port=2\ncanal.instance.defaultDatabaseName=shop")
	for _, o := range []config.Options{
		{ConfFile: other},
		{Defines: map[string]string{"canal.conf": "classpath:other.properties"}},
		{Defines: map[string]string{"canal.conf": "../conf/other.properties"}},
	} {
		o.Home = dir
		c := load(t, o)
		in, err := c.Instance("d")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "listen", c.Listen, ":2")
		equal(t, "database", in.Database, "shop")
	}
}

func TestWirings(t *testing.T) {
	for _, c := range []struct {
		name, main, err string
		keep            bool
		warnings        int
	}{
		{name: "file", main: "canal.instance.global.spring.xml=classpath:spring/file-instance.xml", keep: true},
		{name: "memory", main: "canal.instance.global.spring.xml=memory-instance.xml"},
		{name: "absent", keep: true, warnings: 1},
		{name: "own over global", main: "canal.instance.global.spring.xml=file-instance.xml\ncanal.instance.d.spring.xml=spring/memory-instance.xml"},
		{name: "another's", main: "canal.instance.global.spring.xml=file-instance.xml\ncanal.instance.e.spring.xml=memory-instance.xml", keep: true},
		{name: "default", main: "canal.instance.global.spring.xml=classpath:spring/default-instance.xml", err: "cursors in ZooKeeper need canal.zkServers"},
		{name: "default in a cluster", main: "canal.zkServers=zk:1\ncanal.instance.global.spring.xml=classpath:spring/default-instance.xml"},
		{name: "group", main: "canal.instance.d.spring.xml=group-instance.xml", err: "not part of this version"},
		{name: "foreign", main: "canal.instance.global.spring.xml=my.xml", err: "there are memory-instance.xml, file-instance.xml, default-instance.xml, group-instance.xml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := load(t, config.Options{Home: home(t, c.main, "canal.instance.master.address=db:1\ncanal.instance.global.spring.xml=nobody.xml")})
			in, err := cfg.Instance("d")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "keep", in.KeepCursors, c.keep)
			equal(t, "warnings", len(in.Warnings), c.warnings)
		})
	}
}

func TestWithoutNetty(t *testing.T) {
	for value, want := range map[string]struct {
		listen   string
		warnings int
	}{
		"false": {":11111", 0}, "": {":11111", 1}, "true": {"", 0}, "FALSE": {"", 1}, "no": {"", 1},
	} {
		c := load(t, config.Options{Home: home(t, wiring+"canal.serverMode=tcp\ncanal.instance.global.lazy=false\ncanal.withoutNetty="+value, "-")})
		equal(t, value, c.Listen, want.listen)
		equal(t, value, len(c.Warnings), want.warnings)
	}
}

// TestMetricsPort: 0 and less mean none, never any port.
func TestMetricsPort(t *testing.T) {
	for text, want := range map[string]string{"": ":11112", "0": "", "-1": "", "9100": ":9100"} {
		c := load(t, config.Options{Home: home(t, wiring+"canal.metrics.pull.port="+text, "-")})
		equal(t, "port "+text, c.Metrics.Addr, want)
	}
	dir := home(t, wiring+"canald.metrics.ip=::1\ncanald.metrics.user=joe\ncanald.metrics.passwd=hunter2\ncanald.metrics.tls.cert=c.pem\ncanald.metrics.tls.key=/k.pem", "-")
	c := load(t, config.Options{Home: dir})
	equal(t, "all", c.Metrics, config.Metrics{Addr: "[::1]:11112", User: "joe", Password: "hunter2", CertFile: filepath.Join(dir, "bin", "c.pem"), KeyFile: "/k.pem"})
	equal(t, "limit", c.ReadyLimit, time.Minute)
}

// TestServerID compares with what Java makes of the same name and address:
// "example".hashCode() is -1322970774, its last seven bits are 0x6a.
func TestServerID(t *testing.T) {
	for _, c := range []struct {
		name, slaveID string
		ip            net.IP
		want          uint32
	}{
		{"made up", "0", net.IPv4(10, 1, 2, 3), 0x6a010203},
		{"negative", "-5", net.IPv4(192, 168, 255, 254), 0x6aa8fffe},
		{"configured", "77", net.IPv4(10, 1, 2, 3), 77},
		{"largest", "4294967295", nil, 4294967295},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := home(t, wiring, "-")
			write(t, filepath.Join(dir, "conf", "example", "instance.properties"), "canal.instance.master.address=db:1\ncanal.instance.mysql.slaveId="+c.slaveID)
			in, err := load(t, config.Options{Home: dir, HostIPv4: c.ip}).Instance("example")
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "id", in.ServerID, c.want)
		})
	}
}

func TestInertKeys(t *testing.T) {
	c := load(t, config.Options{Home: home(t, wiring+"canal.instance.parser.parallelBufferSize=64\ncanal.instance.tsdb.enable=true\n"+
		"canal.instance.standby.address=db:2\nkafka.acks=all\ncanal.instance.d.mode=spring\ncanal.nonsense=1", "-")})
	equal(t, "inert", c.Inert, []string{
		"conf/canal.properties:3: canal.instance.parser.parallelBufferSize: what is in flight is bounded by bytes",
		"conf/canal.properties:5: canal.instance.standby.address: fail-over to a second source is not part of this version",
		"conf/canal.properties:7: canal.instance.d.mode: all instances are read from files",
	})
	equal(t, "unknown", c.Unknown, []string{"canal.nonsense"})
}

func TestLazy(t *testing.T) {
	for _, c := range []struct {
		main string
		want bool
		warn string
	}{
		{"", false, ""},
		{"canal.instance.global.lazy=TRUE", true, ""},
		{"canal.instance.global.lazy=true\ncanal.instance.d.lazy=false", false, ""},
		{"canal.instance.global.lazy=false\ncanal.instance.d.lazy= true ", true, ""},
		{"canal.instance.global.lazy=true\ncanal.instance.d.lazy=", true, ""},
		{"canal.instance.global.lazy=yes", false, `canal.instance.global.lazy is "yes"; taking false`},
		{"canal.instance.global.lazy=true\ncanal.instance.d.lazy=1", false, `canal.instance.d.lazy is "1"; taking false`},
		{"canal.instance.e.lazy=true", false, ""},
	} {
		in, err := load(t, config.Options{Home: home(t, wiring+c.main, "canal.instance.master.address=127.0.0.1:3306\ncanal.instance.dbUsername=u")}).Instance("d")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, c.main, in.Lazy, c.want)
		if warned := slices.Contains(in.Warnings, c.warn); warned != (c.warn != "") {
			t.Errorf("%s: warnings %q", c.main, in.Warnings)
		}
	}
}

func TestTableOfKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range config.Keys() {
		if seen[k.Name] {
			t.Errorf("%s is there twice", k.Name)
		}
		seen[k.Name] = true
		if k.Doc == "" || k.Kind == "" || k.Scope == "" {
			t.Errorf("%s: the row is not complete", k.Name)
		}
	}
}

// TestSettings shows where each value came from, and no secret.
func TestSettings(t *testing.T) {
	dir := home(t, wiring+"canal.port=1\ncanal.passwd=e3619321c1a937c46a0d8bd1dac39f93b27d4458\ncanal.instance.dbUsername=${USER_OF_DB:joe}",
		"canal.instance.master.address=db:1\ncanal.instance.dbPassword=hunter2\ncanal.instance.defaultDatabaseName=${canal.instance.dbPassword}")
	c := load(t, config.Options{Home: dir, Defines: map[string]string{"canal.ip": "::1"}, Environ: []string{"canal.instance.mysql.slaveId=7"}})
	own, err := c.InstanceSettings("d")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range slices.Concat(c.Settings(), own) {
		got[s.Key.Name] = s.Value + " from " + s.Origin
	}
	for key, want := range map[string]string{
		"canal.port":                          "1 from conf/canal.properties:3",
		"canal.passwd":                        "****** from conf/canal.properties:4",
		"canal.ip":                            "::1 from command line",
		"canal.user":                          " from default",
		"canal.metrics.pull.port":             "11112 from default",
		"canal.instance.dbUsername":           "joe from conf/canal.properties:5",
		"canal.instance.dbPassword":           "****** from conf/d/instance.properties:2",
		"canal.instance.defaultDatabaseName":  "****** from conf/d/instance.properties:3",
		"canal.instance.mysql.slaveId":        "7 from environment",
		"canal.instance.destination":          "d from command line",
		"canal.instance.network.soTimeout":    "30 from default",
		"canal.instance.pwdPublicKey":         "retl from default",
		"canal.instance.connectionCharset":    "UTF-8 from default",
		"canal.instance.filter.regex":         `.*\..* from default`,
		"canal.instance.standby.address":      " from default",
		"canal.instance.tsdb.dbPassword":      "****** from default",
		"canal.instance.memory.buffer.size":   "16384 from default",
		"canal.instance.global.spring.xml":    "file-instance.xml from conf/canal.properties:1",
		"canal.instance.filter.query.dcl":     "false from default",
		"canal.instance.detecting.enable":     "false from default",
		"canal.instance.master1.journal.name": " from default",
	} {
		equal(t, key, got[key], want)
	}
	if len(got) < 100 {
		t.Errorf("%d settings", len(got))
	}
}

// TestScan finds what makes a folder a destination.
func TestScan(t *testing.T) {
	dir := home(t, wiring, "canal.instance.master.address=db:1")
	conf := filepath.Join(dir, "conf")
	write(t, filepath.Join(conf, "spring", "instance.properties"), "")
	write(t, filepath.Join(conf, "metrics", "board.json"), "")
	write(t, filepath.Join(conf, "upper", "Instance.Properties"), "")
	write(t, filepath.Join(conf, "instance.properties"), "")
	write(t, filepath.Join(dir, "elsewhere", "instance.properties"), "canal.instance.master.address=db:2")
	for link, to := range map[string]string{"linked": "elsewhere", "dangling": "nowhere"} {
		if err := os.Symlink(filepath.Join(dir, to), filepath.Join(conf, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(conf, "folder", "instance.properties"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := load(t, config.Options{Home: dir})
	equal(t, "off by default", c.ScanEvery, 0)
	found, err := c.Scan()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "found", slices.Sorted(maps.Keys(found)), []string{"d", "folder", "linked", "upper"})
	for name, bad := range map[string]bool{"d": false, "linked": false, "upper": true, "folder": true} {
		equal(t, name, found[name].Err != nil, bad)
	}
	equal(t, "size", found["d"].Size, 34)

	// canal.conf.dir moves what is scanned; conf stays where files are loaded from, unless it has none.
	write(t, filepath.Join(dir, "other", "d", "instance.properties"), "canal.instance.master.address=db:3")
	write(t, filepath.Join(dir, "other", "e", "instance.properties"), "canal.instance.master.address=db:4")
	c = load(t, config.Options{Home: dir, Defines: map[string]string{"canal.conf.dir": "../other", "canal.auto.scan": "ON", "canal.auto.scan.interval": "7"}})
	equal(t, "on", c.ScanEvery, 7*time.Second)
	if found, err = c.Scan(); err != nil {
		t.Fatal(err)
	}
	equal(t, "found", slices.Sorted(maps.Keys(found)), []string{"d", "e"})
	for name, want := range map[string]string{"d": "db:1", "e": "db:4"} {
		in, err := c.Instance(name)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, name, in.Address, want)
	}

	c = load(t, config.Options{Home: dir, Defines: map[string]string{"canal.conf.dir": "../none", "canal.auto.scan": "maybe"}})
	equal(t, "off", c.ScanEvery, 0)
	equal(t, "warned", slices.Contains(c.Warnings, `canal.auto.scan is "maybe"; taking false`), true)
	if _, err := c.Scan(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestNoSecretInText(t *testing.T) {
	in := config.Instance{Destination: "d", Address: "db:1", User: "joe", Password: "hunter2"}
	equal(t, "text", in.String(), "d from db:1 as joe")
}

func TestMemoryInACluster(t *testing.T) {
	for zk, warned := range map[string]bool{"": false, "canal.zkServers=zk:2181\n": true} {
		main := zk + "canal.instance.global.spring.xml=memory-instance.xml\ncanal.destinations=d"
		in, err := load(t, config.Options{Home: home(t, main, "canal.instance.master.address=127.0.0.1:3306\ncanal.instance.dbUsername=u")}).Instance("d")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(in.Warnings, "\n"), "keeps no cursors"); got != warned {
			t.Errorf("%q: %q", zk, in.Warnings)
		}
	}
}

func TestZooKeeperTLS(t *testing.T) {
	const cluster = wiring + "canal.zkServers=zk:2281\n"
	dir := home(t, cluster, "-")
	for _, c := range []struct {
		main string
		want *zkconn.TLS
		err  string
	}{
		{"", nil, ""},
		{"canald.zookeeper.tls=verify_identity", &zkconn.TLS{}, ""},
		{"canald.zookeeper.tls=VERIFY_CA\ncanald.zookeeper.tls.ca=/etc/ca.pem", &zkconn.TLS{AnyName: true, CAFile: "/etc/ca.pem"}, ""},
		{
			"canald.zookeeper.tls=verify_ca\ncanald.zookeeper.tls.cert=../conf/c.pem\ncanald.zookeeper.tls.key=k.pem",
			&zkconn.TLS{AnyName: true, CertFile: filepath.Join(dir, "conf", "c.pem"), KeyFile: filepath.Join(dir, "bin", "k.pem")}, "",
		},
		{"canald.zookeeper.tls=on", nil, "must be one of off, verify_ca, verify_identity"},
		{"canald.zookeeper.tls=verify_ca\ncanald.zookeeper.tls.cert=c.pem", nil, "needed together with canald.zookeeper.tls.key"},
		{"canald.zookeeper.tls.ca=ca.pem", nil, "has no effect while canald.zookeeper.tls is off"},
	} {
		write(t, filepath.Join(dir, "conf", "canal.properties"), cluster+c.main)
		got, err := config.Load(config.Options{Home: dir})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.main, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.main, err)
			continue
		}
		equal(t, c.main, got.ZooKeeper.TLS, c.want)
	}
}
