package packet

// Messages is the server's answer to a get.
type Messages struct {
	BatchID int64    // -1: nothing available
	Items   [][]byte // one serialized Entry each
}

// Type is TypeMessages.
func (*Messages) Type() Type { return TypeMessages }

// Decode reads a batch. Items are parts of b.
func (m *Messages) Decode(b []byte) error {
	*m = Messages{}
	s := scanner{kind: "messages", rest: b}
	for s.next() {
		switch s.key {
		case 1<<3 | wireVarint:
			m.BatchID = int64(s.num)
		case 2<<3 | wireBytes:
			m.Items = append(m.Items, s.bytes)
		}
	}
	return s.err
}

// Append writes the body.
func (m *Messages) Append(dst []byte) []byte {
	if m.BatchID != 0 {
		dst = appendVarint(dst, 1<<3|wireVarint, uint64(m.BatchID))
	}
	for _, item := range m.Items {
		dst = appendBytes(dst, 2<<3|wireBytes, item)
	}
	return dst
}
