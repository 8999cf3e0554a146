package packet

// Sub subscribes a client to a destination.
type Sub struct {
	Destination string
	ClientID    string // decimal text
	Filter      string // empty: keep the filter in force
}

// Type is TypeSub.
func (*Sub) Type() Type { return TypeSub }

// Decode reads a subscription.
func (m *Sub) Decode(b []byte) error {
	*m = Sub{}
	s := scanner{kind: "subscription", rest: b}
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
func (m *Sub) Append(dst []byte) []byte {
	dst = appendText(dst, 1<<3|wireBytes, m.Destination)
	dst = appendText(dst, 2<<3|wireBytes, m.ClientID)
	return appendText(dst, 7<<3|wireBytes, m.Filter)
}

// Text is the message in protobuf's text form, as error texts show it.
func (m *Sub) Text() string {
	return textString("destination", m.Destination) + textString("client_id", m.ClientID) + textString("filter", m.Filter)
}
