package packet

// Ack is the server's plain answer: success when it is empty, a failure when
// its code is greater than zero.
type Ack struct {
	Code    Optional[int32]
	Message string
}

// Type is TypeAck.
func (*Ack) Type() Type { return TypeAck }

// Decode reads an ack.
func (m *Ack) Decode(b []byte) error {
	*m = Ack{}
	s := scanner{kind: "ack", rest: b}
	for s.next() {
		switch s.key {
		case 1<<3 | wireVarint:
			m.Code = Some(int32(s.num))
		case 2<<3 | wireBytes:
			m.Message = s.text()
		}
	}
	return s.err
}

// Append writes the body.
func (m *Ack) Append(dst []byte) []byte {
	if m.Code.Set {
		dst = appendVarint(dst, 1<<3|wireVarint, uint64(int64(m.Code.Value)))
	}
	return appendText(dst, 2<<3|wireBytes, m.Message)
}
