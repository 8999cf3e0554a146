package harness

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy stands between a client and a server on loopback, and can part them.
type Proxy struct {
	Addr string // host:port to connect to

	target   string
	listener net.Listener
	mu       sync.Mutex
	cut      bool
	open     map[net.Conn]bool
	wg       sync.WaitGroup
	from, to []byte // what is replaced on the way to the server
}

// StartProxy forwards connections to the target until the test ends.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, open: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

func (p *Proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		far, err := net.Dial("tcp", target)
		if err != nil || !p.keep(near, far) {
			_ = near.Close()
			if far != nil {
				_ = far.Close()
			}
			continue
		}
		for _, pair := range []struct {
			to   io.Writer
			from io.Reader
		}{{near, far}, {replacer{far, p}, near}} {
			p.wg.Go(func() {
				_, _ = io.Copy(pair.to, pair.from)
				_ = near.Close()
				_ = far.Close()
				p.mu.Lock()
				defer p.mu.Unlock()
				delete(p.open, near)
				delete(p.open, far)
			})
		}
	}
}

// Replace changes a text on its way to the server, from now on, into another of
// the same length: the server is asked something else than the client believes.
func (p *Proxy) Replace(from, to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from, p.to = []byte(from), []byte(to)
}

// replacer writes what is left after Replace. A text that is asked for comes in
// one piece, as statements of a few words do.
type replacer struct {
	net.Conn
	p *Proxy
}

func (r replacer) Write(b []byte) (int, error) {
	r.p.mu.Lock()
	from, to := r.p.from, r.p.to
	r.p.mu.Unlock()
	if len(from) > 0 {
		b = bytes.ReplaceAll(b, from, to)
	}
	return r.Conn.Write(b)
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return false
	}
	for _, c := range conns {
		p.open[c] = true
	}
	return true
}

// Cut ends all connections and those to come, until Heal.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for c := range p.open {
		_ = c.Close()
	}
}

// Aim leads connections to another server, from the next one on.
func (p *Proxy) Aim(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Heal lets connections through again.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}
