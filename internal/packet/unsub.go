package packet

// Unsub ends a subscription.
type Unsub struct {
	Destination string
	ClientID    string // decimal text
	Filter      string // ignored by servers
}

// Type is TypeUnsub.
func (*Unsub) Type() Type { return TypeUnsub }

// Decode reads an unsubscription.
func (m *Unsub) Decode(b []byte) error {
	*m = Unsub{}
	s := scanner{kind: "unsubscription", rest: b}
	for s.next() {
		switch s.key {
		case 1<<3 | wireBytes:
			m.Destination = s.text()
		case 2<<3 | wireBytes:
			m.ClientID = s.text()
		case 7<<3 | wireBytes:
			m.Filter = s.text()
		}
	}
	return s.err
}

// Append writes the body.
func (m *Unsub) Append(dst []byte) []byte {
	dst = appendText(dst, 1<<3|wireBytes, m.Destination)
	dst = appendText(dst, 2<<3|wireBytes, m.ClientID)
	return appendText(dst, 7<<3|wireBytes, m.Filter)
}

// Text is the message in protobuf's text form, as error texts show it.
func (m *Unsub) Text() string {
	return textString("destination", m.Destination) + textString("client_id", m.ClientID) + textString("filter", m.Filter)
}
