package packet

// ClientAck says that a batch was consumed; a server does not answer it.
type ClientAck struct {
	Destination string
	ClientID    string // decimal text
	BatchID     int64  // -1 is sent for an empty batch and means nothing
}

// Type is TypeClientAck.
func (*ClientAck) Type() Type { return TypeClientAck }

// Decode reads a client ack.
func (m *ClientAck) Decode(b []byte) error {
	*m = ClientAck{}
	s := scanner{kind: "client ack", rest: b}
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
func (m *ClientAck) Append(dst []byte) []byte {
	dst = appendText(dst, 1<<3|wireBytes, m.Destination)
	dst = appendText(dst, 2<<3|wireBytes, m.ClientID)
	if m.BatchID != 0 {
		dst = appendVarint(dst, 3<<3|wireVarint, uint64(m.BatchID))
	}
	return dst
}

// Text is the message in protobuf's text form, as error texts show it.
func (m *ClientAck) Text() string {
	return textString("destination", m.Destination) + textString("client_id", m.ClientID) +
		textNumber("batch_id", m.BatchID, m.BatchID != 0)
}
