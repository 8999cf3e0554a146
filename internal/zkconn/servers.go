package zkconn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-zookeeper/zk"
)

// Servers is where a ZooKeeper ensemble can be reached.
type Servers struct {
	// Addrs are host:port, in groups: those of the first are preferred.
	Addrs  []string
	first  int    // how many of them belong to the first group
	Chroot string // "/a/b", or empty
}

const (
	defaultPort = "2181"
	maxServers  = 100
)

// ParseServers reads host:port,host:port[/chroot]. Further groups behind a
// semicolon are other addresses of the same ensemble, tried after the first; as
// in Canal's ZooKeeperx, a chroot counts in the first group only. A missing port
// is 2181.
func ParseServers(text string) (Servers, error) {
	var s Servers
	for n, group := range strings.Split(text, ";") {
		list, chroot, _ := strings.Cut(strings.TrimSpace(group), "/")
		if n == 0 {
			if chroot = strings.Trim(chroot, "/"); chroot != "" {
				s.Chroot = "/" + chroot
			}
			if strings.Contains(s.Chroot, "//") || strings.ContainsFunc(s.Chroot, noHost) {
				return s, fmt.Errorf("%q is no path of a node", s.Chroot)
			}
		}
		for part := range strings.SplitSeq(list, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			addr, err := serverAddr(part)
			if err != nil {
				return s, err
			}
			s.Addrs = append(s.Addrs, addr)
		}
		if n == 0 {
			s.first = len(s.Addrs)
		}
	}
	switch {
	case s.first == 0:
		return s, errors.New("no server is named; host:port,host:port[/chroot] is expected")
	case len(s.Addrs) > maxServers:
		return s, fmt.Errorf("more than %d servers", maxServers)
	}
	return s, nil
}

func serverAddr(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), defaultPort
	}
	if strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", fmt.Errorf("%q is not host:port", text)
	}
	if host == "" || strings.ContainsAny(host, "@?#[],;/") || strings.ContainsFunc(host, noHost) {
		return "", fmt.Errorf("%q is not host:port", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q: the port must be a number from 1 to 65535", text)
	}
	return net.JoinHostPort(host, port), nil
}

func noHost(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar
}

// String is the form that ParseServers reads.
func (s Servers) String() string {
	text := strings.Join(s.Addrs[:s.first], ",") + s.Chroot
	if rest := s.Addrs[s.first:]; len(rest) > 0 {
		text += ";" + strings.Join(rest, ",")
	}
	return text
}

// hosts hands the library one address after the other. Names are resolved when
// they are dialled: a name that has no address yet is one more server that
// cannot be reached.
type hosts struct {
	addrs []string
	next  int
	tried int // since a connection last worked
}

// Hosts hands the library the addresses, those of the first group in random order.
// Names are resolved when they are dialled.
func (s Servers) Hosts() zk.HostProvider { return newHosts(s) }

func newHosts(s Servers) *hosts {
	addrs := append([]string(nil), s.Addrs...)
	rand.Shuffle(s.first, func(a, b int) { addrs[a], addrs[b] = addrs[b], addrs[a] })
	return &hosts{addrs: addrs}
}

// Init is called by the library; its list is ours.
func (h *hosts) Init([]string) error { return nil }

// Len is the number of addresses.
func (h *hosts) Len() int { return len(h.addrs) }

// Next is the next address; retryStart is true when all were tried in vain.
func (h *hosts) Next() (server string, retryStart bool) {
	server = h.addrs[h.next]
	retryStart = h.tried > 0 && h.tried%len(h.addrs) == 0
	h.next = (h.next + 1) % len(h.addrs)
	h.tried++
	return server, retryStart
}

// Connected is called by the library when a session is there.
func (h *hosts) Connected() { h.tried = 0 }
