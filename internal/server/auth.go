package server

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"time"

	"github.com/canald/canald/internal/packet"
)

// authenticator decides who may come in.
type authenticator struct {
	user     string
	password bool // one is asked for
	stored   [sha1.Size]byte
}

func newAuthenticator(user, hash string) (authenticator, error) {
	a := authenticator{user: user, password: hash != ""}
	switch {
	case user != "" && hash == "":
		return a, errors.New("a client user is configured but no password")
	case hash == "":
		return a, nil
	}
	// The configured hash is a secret: it does not go into the error.
	if len(hash) != 2*sha1.Size {
		return a, errors.New("the client password has to be 40 hex digits: SHA1(SHA1(password)) without a star")
	}
	if _, err := hex.Decode(a.stored[:], []byte(hash)); err != nil {
		return a, errors.New("the client password is not hex: SHA1(SHA1(password)) without a star is needed")
	}
	return a, nil
}

func (a *authenticator) accepts(m *packet.ClientAuth, seed []byte) bool {
	if !a.password {
		return true
	}
	right := packet.CheckToken(m.Password, seed, a.stored)
	return right && (a.user == "" || a.user == m.Username)
}

// preAuthFrames bounds what a connection may ask before it is authenticated;
// all but the failed authentications are answered with "not supported".
const preAuthFrames = 32

// shortestStall is how long a peer may take nothing of an answer however short
// a write timeout it names: a busy link is not a dead one.
const shortestStall = time.Second

// authenticate serves a frame of a connection that is not authenticated yet.
// ok is false when the connection is to be closed.
func (c *conn) authenticate(p *packet.Packet) (ok bool) {
	if c.preAuthFrames++; c.preAuthFrames > preAuthFrames {
		c.s.refuse("too many packets before authentication", c.remote, nil)
		return false
	}
	if p.Type != packet.TypeClientAuth {
		c.writeError(unsupported(p.Type))
		return true
	}
	var m packet.ClientAuth
	if err := m.Decode(p.Body); err != nil {
		return c.authFailed(c.exception(classInvalidPacket, err.Error()))
	}
	if !c.s.auth.accepts(&m, c.seed[:]) {
		return c.authFailed(failure{codeFailed, "auth failed for user:" + oneLine(m.Username, c.s.cfg.ErrorTextBytes)})
	}
	if m.Destination != "" && m.ClientID != "" {
		sub := packet.Sub{Destination: m.Destination, ClientID: m.ClientID, Filter: m.Filter}
		if f := c.subscribe(&sub); f.code != 0 {
			return c.authFailed(f)
		}
	}
	c.authenticated = true
	c.authTimer.Stop()
	netWrite := c.timeout(m.NetWriteTimeout)
	c.stall = min(c.stall, max(netWrite, shortestStall))
	c.write(successFrame)
	c.idle.start(c.timeout(m.NetReadTimeout), netWrite)
	c.trusted.Store(true)
	c.inbox.allowAhead()
	return true
}

// timeout is one of a client's net timeouts. They are milliseconds, although
// Canal's protocol file says seconds.
func (c *conn) timeout(ms packet.Optional[int32]) time.Duration {
	if ms.Value <= 0 {
		return c.s.cfg.IdleTimeout
	}
	return time.Duration(ms.Value) * time.Millisecond
}

func (c *conn) authFailed(f failure) bool {
	c.failedAuths++
	if c.s.obs.AuthFailed != nil {
		c.s.obs.AuthFailed()
	}
	c.writeError(f)
	if c.failedAuths >= c.s.cfg.AuthAttempts {
		c.s.refuse("authentication failed", c.remote, nil)
		return false
	}
	return true
}
