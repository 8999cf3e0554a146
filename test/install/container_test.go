package install

import (
	"debug/elf"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/canald/canald/test/harness"
)

// The image needs nothing of its base but a shell for the start.
func TestImageBinaryIsStatic(t *testing.T) {
	file := filepath.Join(t.TempDir(), "canald")
	recipe := regexp.MustCompile(`(?m)^build:.*\n\t(.*)`).FindStringSubmatch(read(t, root, "Makefile"))
	if recipe == nil || !strings.Contains(recipe[1], "CGO_ENABLED=0 $(GO) build") {
		t.Fatalf("the recipe is %q", recipe)
	}
	must(t, root, []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", file, "./cmd/canald")
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a segment %s", p.Type)
		}
	}
}

func TestDockerfile(t *testing.T) {
	text := read(t, root, "deploy", "docker", "Dockerfile")
	for _, line := range []string{"USER admin", "EXPOSE 11110 11111 11112", `ENTRYPOINT ["/home/admin/main.sh"]`, "WORKDIR /home/admin/canal-server/bin", "STOPSIGNAL SIGTERM"} {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			t.Errorf("%q is missing", line)
		}
	}
	let := strings.Split(strings.TrimSpace(read(t, root, ".dockerignore")), "\n")
	for _, m := range regexp.MustCompile(`(?m)^COPY (?:--\S+ )?(.*) \S+$`).FindAllStringSubmatch(text, -1) {
		for source := range strings.FieldsSeq(m[1]) {
			if source != "bin/canald" && !exists(filepath.Join(root, source)) { // that one is built
				t.Errorf("%s is not there", source)
			}
			if !slices.ContainsFunc(let, func(l string) bool {
				return l == "!"+source || strings.HasPrefix(source, strings.TrimPrefix(l, "!")+"/")
			}) {
				t.Errorf("%s is kept from the builder", source)
			}
		}
	}
}

// composed is what a compose file says of a service.
type composed struct {
	Image       string
	Restart     string
	Environment map[string]string
	Ports       []string
	Volumes     []string
	Healthcheck struct{ Test []string }
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
}

func TestCompose(t *testing.T) {
	var file struct{ Services map[string]composed }
	if err := yaml.Unmarshal([]byte(read(t, root, "deploy", "compose", "compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	want := []string{"canald1", "canald2", "mysql", "zookeeper1", "zookeeper2", "zookeeper3"}
	if got := slices.Sorted(maps.Keys(file.Services)); !slices.Equal(got, want) {
		t.Fatalf("services %q", got)
	}
	keys := read(t, root, "docs", "CONFIG.md")
	ports, ids, members := map[string]string{}, map[string]string{}, map[string]string{}
	unique := func(in map[string]string, value, name string) {
		if other := in[value]; value == "" || other != "" {
			t.Errorf("%q of %s is %s's too", value, name, other)
		}
		in[value] = name
	}
	for name, s := range file.Services {
		if len(s.Healthcheck.Test) < 2 || s.Healthcheck.Test[0] != "CMD" || s.Image == "" || s.Restart == "" {
			t.Errorf("%s: %+v", name, s)
		}
		for _, p := range s.Ports {
			unique(ports, p[:strings.LastIndex(p, ":")], name)
		}
		for _, v := range s.Volumes {
			if from, _, _ := strings.Cut(v, ":"); !exists(filepath.Join(root, "deploy", "compose", from)) {
				t.Errorf("%s: %s is not there", name, from)
			}
		}
		switch {
		case strings.HasPrefix(name, "zookeeper"):
			unique(members, s.Environment["ZOO_MY_ID"], name)
			if !strings.Contains(s.Environment["ZOO_SERVERS"], "server."+s.Environment["ZOO_MY_ID"]+"="+name+":") {
				t.Errorf("%s is none of %s", name, s.Environment["ZOO_SERVERS"])
			}
		case strings.HasPrefix(name, "canald"):
			unique(ids, s.Environment["canal.instance.mysql.slaveId"], name)
			for key := range s.Environment {
				if !strings.Contains(keys, "| `"+key+"` |") {
					t.Errorf("%s: nobody knows the key %s", name, key)
				}
			}
			for _, other := range want[2:] {
				if s.DependsOn[other].Condition != "service_healthy" {
					t.Errorf("%s does not wait for %s", name, other)
				}
			}
		}
	}
}

// container is a home as in the image, started by its entry point.
type container struct {
	dir           string
	port, metrics int
}

func newContainer(t *testing.T) *container {
	t.Helper()
	c := &container{dir: t.TempDir(), port: harness.FreePort(), metrics: harness.FreePort()}
	if err := os.CopyFS(filepath.Join(c.dir, "conf"), os.DirFS(filepath.Join(root, "conf"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	link(t, program, filepath.Join(c.dir, "bin", "canald"))
	return c
}

func (c *container) env(more ...string) []string {
	return append([]string{
		"CANALD_HOME=" + c.dir, "canal.ip=127.0.0.1", "canal.port=" + strconv.Itoa(c.port), "canal.metrics.pull.port=" + strconv.Itoa(c.metrics),
		"canal.instance.master.address=127.0.0.1:1",
	}, more...)
}

func (c *container) folders(t *testing.T) (names []string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(c.dir, "conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestContainerDestinations(t *testing.T) {
	for _, c := range []struct {
		name string
		env  []string
		want []string
		code int
	}{
		{name: "as shipped", want: []string{"example"}},
		{name: "example", env: []string{"canal.destinations=example"}, want: []string{"example"}},
		{name: "one", env: []string{"canal.destinations=orders"}, want: []string{"orders"}},
		{name: "several", env: []string{"canal.destinations=orders, users"}, want: []string{"orders", "users"}},
		{name: "with the example", env: []string{"canal.destinations=orders,example"}, want: []string{"example", "orders"}},
		{name: "expression", env: []string{"canal.destinations.expr=d{1-3}", "canal.destinations=x"}, want: []string{"d1", "d2", "d3"}},
		{name: "a path", env: []string{"canal.destinations=../x"}, want: []string{"example"}, code: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newContainer(t)
			out, code := run(t, root, h.env(c.env...), "bash", "deploy/docker/main.sh", "version")
			if code != c.code || code == 0 && !strings.HasPrefix(out, "canald ") {
				t.Errorf("exit code %d\n%s", code, out)
			}
			if got := h.folders(t); !slices.Equal(got, c.want) {
				t.Errorf("folders %q, not %q", got, c.want)
			}
		})
	}
}

// The server is the process that was started, gets variables whose names have
// dots, and ends in order.
func TestContainer(t *testing.T) {
	c := newContainer(t)
	health := func(args ...string) (string, int) {
		return run(t, root, c.env(), "bash", append([]string{"deploy/docker/health.sh"}, args...)...)
	}
	if out, code := health(); code != 1 || out != "[FAILED]\n" {
		t.Errorf("nobody is there: %d %s", code, out)
	}
	cmd := exec.Command("bash", "deploy/docker/main.sh")
	cmd.Dir, cmd.Env = root, append(os.Environ(), c.env("canal.destinations=orders")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	url := "http://127.0.0.1:" + strconv.Itoa(c.metrics)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if r, err := http.Get(url + "/metrics"); err == nil {
			r.Body.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("it does not start")
		}
	}
	if command := read(t, "/proc", strconv.Itoa(cmd.Process.Pid), "cmdline"); !strings.HasPrefix(command, filepath.Join(c.dir, "bin", "canald")) {
		t.Errorf("the process is %q", command)
	}
	if out, code := health("/metrics"); code != 0 || out != "[  OK  ]\n" {
		t.Errorf("%d %s", code, out)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := c.folders(t); !slices.Equal(got, []string{"orders"}) {
		t.Errorf("folders %q", got)
	}
}
