package harness

import (
	"bytes"
	"fmt"
	"io"
	"net"
)

// greetingConn completes the greeting of a server before 5.5.10, which leaves out
// the NUL behind the name of the authentication plugin: the client library reads
// past the packet's end without it. Only the first packet is looked at.
type greetingConn struct {
	net.Conn
	greeting *bytes.Reader // nil before the first read
}

func (c *greetingConn) Read(p []byte) (int, error) {
	if c.greeting == nil {
		packet, err := readGreeting(c.Conn)
		if err != nil {
			return 0, err
		}
		c.greeting = bytes.NewReader(packet)
	}
	if c.greeting.Len() > 0 {
		return c.greeting.Read(p)
	}
	return c.Conn.Read(p)
}

// readGreeting reads a whole packet: three bytes of length, a sequence number, the
// payload. A greeting (protocol version 10) is returned with a NUL at its end.
func readGreeting(r io.Reader) ([]byte, error) {
	const headerSize, protocolVersion = 4, 10
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, fmt.Errorf("read the greeting: %w", err)
	}
	size := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	packet := make([]byte, headerSize+size, headerSize+size+1)
	copy(packet, header[:])
	if _, err := io.ReadFull(r, packet[headerSize:]); err != nil {
		return nil, fmt.Errorf("read the greeting: %w", err)
	}
	if size == 0 || packet[headerSize] != protocolVersion || packet[len(packet)-1] == 0 {
		return packet, nil
	}
	size++
	packet[0], packet[1], packet[2] = byte(size), byte(size>>8), byte(size>>16)
	return packet[:len(packet)+1], nil
}
