package config

import (
	"net"
	"strings"
	"time"

	"github.com/canald/canald/internal/zkconn"
)

// ZooKeeper is the cluster that a server belongs to.
type ZooKeeper struct {
	Servers        string        // as zkconn.ParseServers reads it; empty: there is no cluster
	Timeout        time.Duration // of the session, to be asked for
	User, Password string        // digest; an empty user names nobody
	Private        bool          // nodes are for that user alone
	TLS            *zkconn.TLS   // nil speaks plain
}

func (c *Config) readZooKeeper(r *reader) {
	v := r.value(keyZKServers)
	z := &c.ZooKeeper
	z.Servers = v.text
	z.Timeout = time.Duration(r.integer(keyZKTimeout, 1000, maxMillis)) * time.Millisecond
	user, password := r.value(keyZKUser), r.value(keyZKPassword)
	z.User, z.Password = user.text, password.text
	z.Private = r.oneOf(keyZKACL, "open", "private") == "private"
	switch {
	case (user.text == "") != (password.text == ""):
		r.fail(password, "needed together with "+keyZKUser)
	case strings.Contains(user.text, ":"):
		r.fail(user, "a user's name has no colon")
	case z.Private && user.text == "":
		r.fail(r.value(keyZKACL), "private needs "+keyZKUser)
	}
	c.readZooKeeperTLS(r)
	if v.text == "" {
		return
	}
	if _, err := zkconn.ParseServers(v.text); err != nil {
		r.fail(v, err.Error())
	}
	if c.Listen == "" {
		r.fail(r.value(keyWithoutNetty), "a server of a cluster needs its port for clients")
	}
	if ip := r.value(keyIP); strings.Contains(ip.text, ":") && c.RegisterIP == "" {
		r.fail(ip, "clients of a cluster cannot reach an IPv6 address; set "+keyRegisterIP)
	}
	switch v := r.value(keyRegisterIP); {
	case strings.Contains(v.text, "://") || strings.ContainsAny(v.text, "/ \t"):
		r.fail(v, "a name or an IPv4 address is needed, nothing else")
	case strings.Contains(strings.Trim(v.text, "[]"), ":") && net.ParseIP(strings.Trim(v.text, "[]")) != nil:
		r.fail(v, "clients of a cluster cannot reach an IPv6 address")
	case strings.Contains(v.text, ":"):
		r.fail(v, "the port is that of "+keyPort)
	}
}

func (c *Config) readZooKeeperTLS(r *reader) {
	z := &c.ZooKeeper
	mode := r.oneOf(keyZKTLS, "off", "verify_ca", "verify_identity")
	ca, cert, key := r.value(keyZKCA), r.value(keyZKCert), r.value(keyZKKey)
	if mode == "off" {
		for _, v := range []value{ca, cert, key} {
			if v.text != "" {
				r.fail(v, "has no effect while "+keyZKTLS+" is off")
			}
		}
		return
	}
	z.TLS = &zkconn.TLS{AnyName: mode == "verify_ca"}
	if ca.text != "" {
		z.TLS.CAFile = c.fromBin(ca.text)
	}
	switch {
	case (cert.text == "") != (key.text == ""):
		r.fail(cert, "needed together with "+keyZKKey)
	case cert.text != "":
		z.TLS.CertFile, z.TLS.KeyFile = c.fromBin(cert.text), c.fromBin(key.text)
	}
}

// checkOwnZooKeeper refuses what Java would do with cursors in ZooKeeper and no
// cluster, or another's: two servers may then write the same cursors.
func (c *Config) checkOwnZooKeeper(wiring value, r *reader) {
	if c.ZooKeeper.Servers == "" {
		r.fail(wiring, "cursors in ZooKeeper need "+keyZKServers+" in the main file")
		return
	}
	if v := r.value(keyZKServers); v.text != c.ZooKeeper.Servers {
		r.fail(v, "cursors are kept in the ZooKeeper of the cluster; leave this to the main file")
	}
}

// bridges are the beginnings of names of interfaces that others cannot reach.
var bridges = []string{"docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "lxc", "lxd"}

// ReachableIPv4 is the address of this host that others most likely reach: the
// one that packets to the world leave from, else the first of an interface that
// is up and no bridge; nil when there is none.
func ReachableIPv4() net.IP {
	// Nothing is sent: the system only chooses the way.
	if conn, err := net.Dial("udp4", "192.0.2.1:9"); err == nil { //nolint:noctx // it does not wait
		addr, ok := conn.LocalAddr().(*net.UDPAddr)
		_ = conn.Close()
		if ok && !addr.IP.IsLoopback() && addr.IP.To4() != nil {
			return addr.IP.To4()
		}
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || isBridge(i.Name) {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLinkLocalUnicast() {
				return n.IP.To4()
			}
		}
	}
	return nil
}

func isBridge(name string) bool {
	for _, b := range bridges {
		if strings.HasPrefix(name, b) {
			return true
		}
	}
	return false
}
