package harness

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a client and a server on loopback, and can part them, hold
// up what passes, and slow it down.
type Proxy struct {
	Addr string // host:port to connect to

	target   string
	listener net.Listener
	mu       sync.Mutex
	cut      bool
	stalled  way // what does not pass, though no connection ends
	delay    time.Duration
	open     map[net.Conn]bool
	wg       sync.WaitGroup
	from, to []byte // what is replaced on the way to the server
}

// way is a set of directions.
type way int

const (
	toServer way = 1 << iota
	toClient
)

// StartProxy forwards connections to the target until the test ends.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	return StartProxyAt(t, "127.0.0.1:0", target)
}

// StartProxyAt is StartProxy for an address that clients know already.
func StartProxyAt(t testing.TB, addr, target string) *Proxy {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", addr)
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
			way  way
		}{{near, far, toClient}, {replacer{far, p}, near, toServer}} {
			p.wg.Go(func() {
				_, _ = io.Copy(gate{pair.to, p, pair.way}, pair.from)
				p.pass(pair.way) // an end does not pass either
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

// gate writes what may pass.
type gate struct {
	io.Writer
	p   *Proxy
	way way
}

func (g gate) Write(b []byte) (int, error) {
	g.p.pass(g.way)
	return g.Writer.Write(b)
}

// pass waits as long as nothing passes this way, and for the delay.
func (p *Proxy) pass(w way) {
	const look = 2 * time.Millisecond
	for {
		p.mu.Lock()
		held, delay := p.stalled&w != 0 && !p.cut, p.delay
		p.mu.Unlock()
		if !held {
			time.Sleep(delay)
			return
		}
		time.Sleep(look)
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

// Stall holds up everything, until Heal. No connection ends, and new ones are
// taken: both ends believe in a peer that says nothing.
func (p *Proxy) Stall() { p.hold(toServer|toClient, 0) }

// StallAnswers holds up what the server says, until Heal; it still hears.
func (p *Proxy) StallAnswers() { p.hold(toClient, 0) }

// Delay makes each piece late in both directions, until Heal.
func (p *Proxy) Delay(by time.Duration) { p.hold(0, by) }

func (p *Proxy) hold(w way, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled, p.delay = w, delay
}

// Heal lets everything through again, at once.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.stalled, p.delay = false, 0, 0
}
