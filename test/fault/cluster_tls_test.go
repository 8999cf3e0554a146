package fault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/client"
	"github.com/canald/canald/internal/zkconn"
	"github.com/canald/canald/test/harness"
)

// TestClusterTLS: two canalds, their commands and a Go client speak with a
// ZooKeeper that takes nothing but TLS from clients it knows.
func TestClusterTLS(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS fault_kill", "CREATE DATABASE fault_kill", "CREATE TABLE fault_kill.t (seq INT PRIMARY KEY)")
	certs := harness.NewCerts(t, net.IPv4(127, 0, 0, 1))
	port := strconv.Itoa(harness.FreePort())
	z := harness.StartZooKeeper(t, 1, "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
		"secureClientPort="+port, "secureClientPortAddress=127.0.0.1",
		"ssl.keyStore.type=PEM", "ssl.keyStore.location="+certs.Server, "ssl.trustStore.type=PEM", "ssl.trustStore.location="+certs.CA)
	zk := tree(t, z) // the plain port, for the test alone
	secure := "127.0.0.1:" + port
	options := fmt.Sprintf("canal.zkServers=%s\ncanald.zookeeper.tls=verify_identity\ncanald.zookeeper.tls.ca=%s\ncanald.zookeeper.tls.cert=%s\ncanald.zookeeper.tls.key=%s\n",
		secure, certs.CA, certs.Cert, certs.Key)
	main := options + "canal.zookeeper.session.timeout=30000\ncanal.instance.global.spring.xml=classpath:spring/default-instance.xml"
	var servers []*harness.Canald
	for n := range 2 {
		servers = append(servers, harness.StartCanald(t, s, main, map[string]string{
			"kill": fmt.Sprintf("canal.instance.filter.regex=fault_kill\\\\..*\ncanal.instance.mysql.slaveId=%d\n", 7001+n),
		}))
		awaitMember(t, zk, servers[n].Addr)
	}
	within(t, "the first runs it", 5*time.Second, func() bool { return runningOwner(t.Context(), zk) == servers[0].Addr })
	command := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), harness.Program(t), append([]string{"--home", servers[0].Home}, args...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := command("cluster", "status"); err != nil || !strings.Contains(out, servers[1].Addr) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, _ := command("check"); !strings.Contains(out, "ZooKeeper can be reached at 1 address") {
		t.Error(out)
	}

	tlsOf := func(c zkconn.TLS) client.ClusterOptions {
		conf, err := c.Config()
		if err != nil {
			t.Fatal(err)
		}
		return client.ClusterOptions{ZooKeeper: secure, ZooKeeperTLS: conf, SessionTimeout: 4 * time.Second, Options: client.Options{Destination: "kill"}}
	}
	cl, err := client.NewCluster(tlsOf(zkconn.TLS{CAFile: certs.CA, CertFile: certs.Cert, KeyFile: certs.Key}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cl.Close() }()
	conn, err := cl.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()

	// The session of the dead is closed over TLS, too.
	servers[0].Kill()
	if out, err := command("cluster", "close-session"); err != nil || !strings.Contains(out, "is closed") {
		t.Errorf("%v\n%s", err, out)
	}
	within(t, "the second runs it", 3*time.Second, func() bool { return runningOwner(t.Context(), zk) == servers[1].Addr })

	other := harness.NewCerts(t, net.IPv4(127, 0, 0, 1))
	elsewhere := harness.NewCerts(t, net.IPv4(127, 0, 0, 9))
	for what, c := range map[string]struct {
		tls    zkconn.TLS
		addr   string
		served bool
	}{
		"known":                            {zkconn.TLS{CAFile: certs.CA, CertFile: certs.Cert, KeyFile: certs.Key}, secure, true},
		"known, by another name":           {zkconn.TLS{CAFile: certs.CA, CertFile: certs.Cert, KeyFile: certs.Key}, strings.Replace(secure, "127.0.0.1", "localhost", 1), false},
		"known, by any name":               {zkconn.TLS{CAFile: certs.CA, CertFile: certs.Cert, KeyFile: certs.Key, AnyName: true}, strings.Replace(secure, "127.0.0.1", "localhost", 1), true},
		"a server that nobody vouches for": {zkconn.TLS{CAFile: other.CA, CertFile: certs.Cert, KeyFile: certs.Key, AnyName: true}, secure, false},
		"a client that nobody vouches for": {zkconn.TLS{CAFile: certs.CA, CertFile: elsewhere.Cert, KeyFile: elsewhere.Key}, secure, false},
		"a client without a certificate":   {zkconn.TLS{CAFile: certs.CA}, secure, false},
	} {
		if served := connects(t, c.addr, c.tls); served != c.served {
			t.Errorf("%s: a session is had: %t", what, served)
		}
	}
}

// connects tells whether a session can be had.
func connects(t *testing.T, addr string, secure zkconn.TLS) bool {
	t.Helper()
	conf, err := secure.Config()
	if err != nil {
		t.Fatal(err)
	}
	servers, err := zkconn.ParseServers(addr)
	if err != nil {
		t.Fatal(err)
	}
	c := zkconn.New(zkconn.Config{Servers: servers, TLS: conf, ReadOnly: true}, zap.NewNop())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	served := false
	for ctx.Err() == nil && !served {
		s, changed := c.Session()
		if served = s.Connected; served {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	return served
}
