package packet

// ClientAuth answers the handshake.
type ClientAuth struct {
	Username        string
	Password        []byte          // hex text of the token, see Token
	NetReadTimeout  Optional[int32] // milliseconds, whatever Canal's comments say
	NetWriteTimeout Optional[int32] // milliseconds
	Destination     string          // with ClientID: subscribe at once
	ClientID        string
	Filter          string
	StartTimestamp  int64 // ignored by servers
}

// Type is TypeClientAuth.
func (*ClientAuth) Type() Type { return TypeClientAuth }

// Decode reads a client authentication. Password is a part of b.
func (m *ClientAuth) Decode(b []byte) error {
	*m = ClientAuth{}
	s := scanner{kind: "client authentication", rest: b}
	for s.next() {
		switch s.key {
		case 1<<3 | wireBytes:
			m.Username = s.text()
		case 2<<3 | wireBytes:
			m.Password = s.bytes
		case 3<<3 | wireVarint:
			m.NetReadTimeout = Some(int32(s.num))
		case 4<<3 | wireVarint:
			m.NetWriteTimeout = Some(int32(s.num))
		case 5<<3 | wireBytes:
			m.Destination = s.text()
		case 6<<3 | wireBytes:
			m.ClientID = s.text()
		case 7<<3 | wireBytes:
			m.Filter = s.text()
		case 8<<3 | wireVarint:
			m.StartTimestamp = int64(s.num)
		}
	}
	return s.err
}

// Append writes the body.
func (m *ClientAuth) Append(dst []byte) []byte {
	dst = appendText(dst, 1<<3|wireBytes, m.Username)
	if len(m.Password) > 0 {
		dst = appendBytes(dst, 2<<3|wireBytes, m.Password)
	}
	if m.NetReadTimeout.Set {
		dst = appendVarint(dst, 3<<3|wireVarint, uint64(int64(m.NetReadTimeout.Value)))
	}
	if m.NetWriteTimeout.Set {
		dst = appendVarint(dst, 4<<3|wireVarint, uint64(int64(m.NetWriteTimeout.Value)))
	}
	dst = appendText(dst, 5<<3|wireBytes, m.Destination)
	dst = appendText(dst, 6<<3|wireBytes, m.ClientID)
	dst = appendText(dst, 7<<3|wireBytes, m.Filter)
	if m.StartTimestamp != 0 {
		dst = appendVarint(dst, 8<<3|wireVarint, uint64(m.StartTimestamp))
	}
	return dst
}
