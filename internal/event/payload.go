package event

import "fmt"

// Compression kinds of a TRANSACTION_PAYLOAD event.
const (
	PayloadZstd uint64 = 0
	PayloadNone uint64 = 255
)

// Payload is the head of a TRANSACTION_PAYLOAD event (MySQL 8.0.20 and later).
type Payload struct {
	Compression  uint64
	Size         uint64 // of the data that follows, bytes; 0 when not given
	Uncompressed uint64 // size after expansion, bytes; 0 when not given
	Body         int    // offset of the data in the event
}

// ParsePayload reads the fields in front of the data of a whole TRANSACTION_PAYLOAD event.
func ParsePayload(b []byte) (Payload, error) {
	p := Payload{Compression: PayloadNone, Body: HeaderLen}
	for {
		tag, n := lenenc(b[min(p.Body, len(b)):])
		if n == 0 {
			return p, fmt.Errorf("payload field at %d: %w", p.Body, ErrShort)
		}
		p.Body += n
		if tag == 0 {
			return p, nil
		}
		size, n := lenenc(b[p.Body:])
		if n == 0 || uint64(len(b)-p.Body-n) < size {
			return p, fmt.Errorf("payload field %d of %d bytes at %d: %w", tag, size, p.Body, ErrShort)
		}
		p.Body += n
		v, vn := lenenc(b[p.Body : p.Body+int(size)])
		if vn == 0 && tag <= 3 {
			return p, fmt.Errorf("payload field %d at %d: %w", tag, p.Body, ErrShort)
		}
		switch tag {
		case 1:
			p.Size = v
		case 2:
			p.Compression = v
		case 3:
			p.Uncompressed = v
		}
		p.Body += int(size)
	}
}
