package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/config"
)

func TestZooKeeper(t *testing.T) {
	const cluster = "canal.zkServers = zk1:2181,zk2:2181/canal\n"
	for _, c := range []struct{ name, main, err string }{
		{"plain", cluster, ""},
		{"name to register", cluster + "canal.register.ip=db-1.example", ""},
		{"listens on IPv6, registers a name", cluster + "canal.ip=::1\ncanal.register.ip=a", ""},
		{"bad servers", "canal.zkServers = zk1:2181:3", "is not host:port"},
		{"short session", cluster + "canal.zookeeper.session.timeout=10", "must be from 1000"},
		{"no client port", cluster + "canal.withoutNetty=true", "needs its port for clients"},
		{"scheme", cluster + "canal.register.ip=http://a", "a name or an IPv4 address"},
		{"port", cluster + "canal.register.ip=a:11111", "the port is that of canal.port"},
		{"IPv6", cluster + "canal.register.ip=fe80::1", "cannot reach an IPv6 address"},
		{"IPv6 to listen on", cluster + "canal.ip=::1", "cannot reach an IPv6 address"},
		{"user without password", cluster + "canald.zookeeper.user=u", "needed together"},
		{"private without user", cluster + "canald.zookeeper.acl=private", "needs canald.zookeeper.user"},
		{"odd acl", cluster + "canald.zookeeper.acl=some", "must be one of"},
		{"colon", cluster + "canald.zookeeper.user=a:b\ncanald.zookeeper.passwd=p", "has no colon"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := config.Load(config.Options{Home: home(t, "canal.serverMode=tcp\n"+c.main, "")})
			switch {
			case c.err == "" && err != nil:
				t.Error(err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("error %v, not one about %q", err, c.err)
			}
		})
	}
	cfg := load(t, config.Options{Home: home(t, cluster+"canald.zookeeper.user=u\ncanald.zookeeper.passwd=p\ncanald.zookeeper.acl=private", "")})
	if z := cfg.ZooKeeper; z.Servers != "zk1:2181,zk2:2181/canal" || z.Timeout != 10*time.Second || z.User != "u" || z.Password != "p" || !z.Private {
		t.Errorf("%+v", z)
	}
}

func TestCursorsInZooKeeper(t *testing.T) {
	const main = "canal.zkServers=zk:1\ncanal.zookeeper.flush.period=300\ncanal.instance.global.spring.xml=default-instance.xml"
	const own = "canal.instance.master.address=db:1\n"
	in, err := load(t, config.Options{Home: home(t, main, own)}).Instance("d")
	if err != nil || !in.InZooKeeper || in.KeepCursors || in.FlushPeriod != 300*time.Millisecond {
		t.Errorf("%+v, %v", in, err)
	}
	if _, err := load(t, config.Options{Home: home(t, main, own+"canal.zkServers=other:1")}).Instance("d"); err == nil || !strings.Contains(err.Error(), "of the cluster") {
		t.Errorf("another ZooKeeper: %v", err)
	}
}

func TestReachableIPv4(t *testing.T) {
	if ip := config.ReachableIPv4(); ip != nil && (ip.IsLoopback() || ip.To4() == nil) {
		t.Errorf("%s", ip)
	}
}
