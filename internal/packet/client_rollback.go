package packet

// ClientRollback gives batches back; a server does not answer it.
type ClientRollback struct {
	Destination string
	ClientID    string // decimal text
	BatchID     int64  // 0: all batches of the client
}

// Type is TypeClientRollback.
func (*ClientRollback) Type() Type { return TypeClientRollback }

// Decode reads a client rollback.
func (m *ClientRollback) Decode(b []byte) error {
	*m = ClientRollback{}
	s := scanner{kind: "client rollback", rest: b}
	for s.next() {
		switch s.key {
		case 1<<3 | wireBytes:
			m.Destination = s.text()
		case 2<<3 | wireBytes:
			m.ClientID = s.text()
		case 3<<3 | wireVarint:
			m.BatchID = int64(s.num)
		}
	}
	return s.err
}

// Append writes the body.
func (m *ClientRollback) Append(dst []byte) []byte {
	dst = appendText(dst, 1<<3|wireBytes, m.Destination)
	dst = appendText(dst, 2<<3|wireBytes, m.ClientID)
	if m.BatchID != 0 {
		dst = appendVarint(dst, 3<<3|wireVarint, uint64(m.BatchID))
	}
	return dst
}

// Text is the message in protobuf's text form, as error texts show it.
func (m *ClientRollback) Text() string {
	return textString("destination", m.Destination) + textString("client_id", m.ClientID) +
		textNumber("batch_id", m.BatchID, m.BatchID != 0)
}
