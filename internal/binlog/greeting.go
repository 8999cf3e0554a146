package binlog

import (
	"bytes"
	"encoding/binary"
	"net"
)

// greetingConn completes the first packet of servers older than MySQL 5.5.10:
// they leave out the NUL behind the name of the authentication plugin, which
// the client library takes for granted.
type greetingConn struct {
	net.Conn
	seen bool
	rest []byte // of the greeting, not yet read
}

// maxGreetingBytes bounds what is buffered of the first packet; a longer one is
// passed on as it is.
const maxGreetingBytes = 4096

func (g *greetingConn) Read(p []byte) (int, error) {
	if !g.seen {
		g.seen = true
		if err := g.readGreeting(); err != nil {
			return 0, err
		}
	}
	if len(g.rest) > 0 {
		n := copy(p, g.rest)
		g.rest = g.rest[n:]
		return n, nil
	}
	return g.Conn.Read(p)
}

func (g *greetingConn) readGreeting() error {
	var head [4]byte
	if err := readFull(g.Conn, head[:]); err != nil {
		return err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if n > maxGreetingBytes {
		g.rest = head[:]
		return nil
	}
	body := make([]byte, n, n+1)
	if err := readFull(g.Conn, body); err != nil {
		return err
	}
	if lacksPluginNUL(body) {
		body = append(body, 0)
		binary.LittleEndian.PutUint16(head[:], uint16(len(body)))
	}
	g.rest = append(head[:], body...)
	return nil
}

// lacksPluginNUL tells whether a greeting announces a plugin name and ends
// without the NUL behind it.
func lacksPluginNUL(b []byte) bool {
	const pluginAuth = 1 << 19
	if len(b) < 2 || b[0] != 10 || b[len(b)-1] == 0 {
		return false
	}
	end := bytes.IndexByte(b[1:], 0)
	if end < 0 {
		return false
	}
	// version NUL, connection id, 8 bytes of salt, filler; then the low half of the
	// capabilities, charset, status, and the high half.
	p := 1 + end + 1 + 4 + 8 + 1
	if len(b) < p+7 {
		return false
	}
	caps := uint32(binary.LittleEndian.Uint16(b[p:])) | uint32(binary.LittleEndian.Uint16(b[p+5:]))<<16
	return caps&pluginAuth != 0
}

func readFull(c net.Conn, b []byte) error {
	for len(b) > 0 {
		n, err := c.Read(b)
		b = b[n:]
		if err != nil && len(b) > 0 {
			return err
		}
	}
	return nil
}
