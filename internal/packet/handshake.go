package packet

// Handshake is the first packet of a connection, sent by the server.
type Handshake struct {
	Encoding Optional[string] // nobody sets it
	Seed     []byte           // goes into the password token; eight bytes
}

// Type is TypeHandshake.
func (*Handshake) Type() Type { return TypeHandshake }

// Decode reads a handshake. Seed is a part of b.
func (m *Handshake) Decode(b []byte) error {
	*m = Handshake{}
	s := scanner{kind: "handshake", rest: b}
	for s.next() {
		switch s.key {
		case 1<<3 | wireBytes:
			m.Encoding = Some(s.text())
		case 2<<3 | wireBytes:
			m.Seed = s.bytes
		}
	}
	return s.err
}

// Append writes the handshake's body.
func (m *Handshake) Append(dst []byte) []byte {
	if m.Encoding.Set {
		dst = appendBytes(dst, 1<<3|wireBytes, []byte(m.Encoding.Value))
	}
	if len(m.Seed) > 0 {
		dst = appendBytes(dst, 2<<3|wireBytes, m.Seed)
	}
	return dst
}
