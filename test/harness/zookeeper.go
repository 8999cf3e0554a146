package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ZooKeeper is an ensemble of real ZooKeeper servers on loopback, each in a
// throw-away folder. It is for one goroutine.
type ZooKeeper struct {
	// Servers is what canal.zkServers names: host:port,...
	Servers string

	nodes []*zkNode
}

type zkNode struct {
	addr    string
	dir     string
	jars    string
	process *process
}

// zkTickMillis is ZooKeeper's tick. Sessions last two ticks at least, and end up
// to one late.
const zkTickMillis = 500

// StartZooKeeper starts one server, or an ensemble of three, and waits until all
// answer; lines are added to their configuration. It ends with the test.
func StartZooKeeper(t testing.TB, servers int, lines ...string) *ZooKeeper {
	t.Helper()
	part, err := ensurePart(t.Context(), "zookeeper")
	if err != nil {
		t.Fatal(err)
	}
	z := &ZooKeeper{}
	var members, addrs []string
	for n := range servers {
		port := FreePort()
		node := &zkNode{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), dir: t.TempDir(), jars: filepath.Join(part, "lib", "*")}
		z.nodes = append(z.nodes, node)
		addrs = append(addrs, node.addr)
		members = append(members, fmt.Sprintf("server.%d=127.0.0.1:%d:%d", n+1, FreePort(), FreePort()))
		writeFile(t, filepath.Join(node.dir, "data", "myid"), strconv.Itoa(n+1))
		writeFile(t, filepath.Join(node.dir, "logback.xml"), `<configuration><appender name="A" class="ch.qos.logback.core.ConsoleAppender">`+
			`<encoder><pattern>%d{HH:mm:ss.SSS} %-5p %c{1} %m%n</pattern></encoder></appender>`+
			`<root level="INFO"><appender-ref ref="A"/></root></configuration>`)
	}
	z.Servers = strings.Join(addrs, ",")
	for _, node := range z.nodes {
		_, port, _ := net.SplitHostPort(node.addr)
		conf := fmt.Sprintf("tickTime=%d\ninitLimit=20\nsyncLimit=10\nmaxSessionTimeout=120000\nmaxClientCnxns=0\ndataDir=%s\nclientPort=%s\n"+
			"clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=srvr\n", zkTickMillis, filepath.Join(node.dir, "data"), port)
		if servers > 1 {
			conf += strings.Join(members, "\n") + "\n"
		}
		conf += strings.Join(lines, "\n") + "\n" // the last line about something counts
		writeFile(t, filepath.Join(node.dir, "zoo.cfg"), conf)
	}
	t.Cleanup(func() {
		for n := range z.nodes {
			z.Kill(n)
		}
	})
	for n := range z.nodes {
		z.begin(t, n)
	}
	for n := range z.nodes {
		z.await(t, n)
	}
	return z
}

// Start starts a server again after Kill, and waits until it answers.
func (z *ZooKeeper) Start(t testing.TB, n int) {
	t.Helper()
	z.begin(t, n)
	z.await(t, n)
}

func (z *ZooKeeper) begin(t testing.TB, n int) {
	t.Helper()
	node := z.nodes[n]
	cmd := exec.Command("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no",
		"-Dlogback.configurationFile="+filepath.Join(node.dir, "logback.xml"), "-cp", node.jars,
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", filepath.Join(node.dir, "zoo.cfg"))
	p, err := startProcess(cmd, filepath.Join(node.dir, "out.log"))
	if err != nil {
		t.Fatal(err)
	}
	node.process = p
}

func (z *ZooKeeper) await(t testing.TB, n int) {
	t.Helper()
	node := z.nodes[n]
	for end := time.Now().Add(startTimeout); time.Now().Before(end); time.Sleep(pollInterval) {
		if strings.Contains(node.ask("srvr"), "Mode: ") {
			return
		}
	}
	t.Fatalf("ZooKeeper does not answer\n%s", tail(filepath.Join(node.dir, "out.log")))
}

// ask sends one of ZooKeeper's four-letter words.
func (n *zkNode) ask(word string) string {
	conn, err := net.DialTimeout("tcp", n.addr, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte(word))
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

// Kill ends a server at once, as a crash would.
func (z *ZooKeeper) Kill(n int) {
	if p := z.nodes[n].process; p != nil {
		p.kill()
		z.nodes[n].process = nil
	}
}

// Wipe removes all data of a server that was killed.
func (z *ZooKeeper) Wipe(t testing.TB, n int) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(z.nodes[n].dir, "data", "version-2")); err != nil {
		t.Fatal(err)
	}
}

// Leader is the number of the server that leads, or -1.
func (z *ZooKeeper) Leader() int {
	for n, node := range z.nodes {
		if mode := node.ask("srvr"); strings.Contains(mode, "Mode: leader") || strings.Contains(mode, "Mode: standalone") {
			return n
		}
	}
	return -1
}
