package packet

import (
	"math"
	"time"
)

// Get asks for a batch.
type Get struct {
	Destination string
	ClientID    string // decimal text
	FetchSize   int32
	Timeout     Optional[int64] // in Unit; -1: do not wait
	Unit        Optional[int32] // 0 ns, 1 µs, 2 ms, 3 s, 4 min, 5 h, 6 d, anything else ms
	AutoAck     Optional[bool]  // ignored by servers
}

// Forever is the wait of a get that has no limit.
const Forever time.Duration = -1

// Wait is how long the server shall wait for a full batch: 0 not at all,
// Forever without limit. The timeout is compared before its unit is looked at,
// and an absent one is not the documented -1 but no limit, as in Canal's
// SessionHandler.
func (m *Get) Wait() time.Duration {
	switch t := m.Timeout.Value; {
	case m.Timeout.Set && t == -1:
		return 0
	case t <= 0:
		return Forever
	default:
		unit := m.unit()
		if t > int64(math.MaxInt64/unit) {
			return math.MaxInt64
		}
		return time.Duration(t) * unit
	}
}

func (m *Get) unit() time.Duration {
	switch m.Unit.Value {
	case 0:
		return time.Nanosecond
	case 1:
		return time.Microsecond
	case 3:
		return time.Second
	case 4:
		return time.Minute
	case 5:
		return time.Hour
	case 6:
		return 24 * time.Hour
	default:
		return time.Millisecond
	}
}

// Type is TypeGet.
func (*Get) Type() Type { return TypeGet }

// Decode reads a get.
func (m *Get) Decode(b []byte) error {
	*m = Get{}
	s := scanner{kind: "get", rest: b}
	for s.next() {
		switch s.key {
		case 1<<3 | wireBytes:
			m.Destination = s.text()
		case 2<<3 | wireBytes:
			m.ClientID = s.text()
		case 3<<3 | wireVarint:
			m.FetchSize = int32(s.num)
		case 4<<3 | wireVarint:
			m.Timeout = Some(int64(s.num))
		case 5<<3 | wireVarint:
			m.Unit = Some(int32(s.num))
		case 6<<3 | wireVarint:
			m.AutoAck = Some(s.num != 0)
		}
	}
	return s.err
}

// Append writes the body.
func (m *Get) Append(dst []byte) []byte {
	dst = appendText(dst, 1<<3|wireBytes, m.Destination)
	dst = appendText(dst, 2<<3|wireBytes, m.ClientID)
	if m.FetchSize != 0 {
		dst = appendVarint(dst, 3<<3|wireVarint, uint64(int64(m.FetchSize)))
	}
	if m.Timeout.Set {
		dst = appendVarint(dst, 4<<3|wireVarint, uint64(m.Timeout.Value))
	}
	if m.Unit.Set {
		dst = appendVarint(dst, 5<<3|wireVarint, uint64(int64(m.Unit.Value)))
	}
	if m.AutoAck.Set {
		v := uint64(0)
		if m.AutoAck.Value {
			v = 1
		}
		dst = appendVarint(dst, 6<<3|wireVarint, v)
	}
	return dst
}

// Text is the message in protobuf's text form, as error texts show it.
func (m *Get) Text() string {
	t := textString("destination", m.Destination) + textString("client_id", m.ClientID)
	t += textNumber("fetch_size", int64(m.FetchSize), m.FetchSize != 0)
	t += textNumber("timeout", m.Timeout.Value, m.Timeout.Set)
	t += textNumber("unit", int64(m.Unit.Value), m.Unit.Set)
	switch {
	case m.AutoAck.Set && m.AutoAck.Value:
		t += "auto_ack: true\n"
	case m.AutoAck.Set:
		t += "auto_ack: false\n"
	}
	return t
}
