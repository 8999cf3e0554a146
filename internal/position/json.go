package position

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Cursor is a position with the source it belongs to, as Canal keeps it in
// meta.dat and ZooKeeper (its LogPosition).
type Cursor struct {
	Host     string // name or address of the source; empty when Canal wrote null
	Port     int
	Position Position
}

// The documents have Canal's layout byte for byte: keys in alphabetical order,
// no blanks, the misspelt "postion", slaveId always -1, included always false.
type cursorJSON struct {
	Identity *identityJSON `json:"identity,omitempty"`
	Postion  *postionJSON  `json:"postion,omitempty"`
}

type identityJSON struct {
	SlaveID       Number       `json:"slaveId"`
	SourceAddress *addressJSON `json:"sourceAddress,omitempty"`
}

type addressJSON struct {
	Address *string `json:"address"`
	Port    Number  `json:"port"`
}

type postionJSON struct {
	GTID        *string    `json:"gtid,omitempty"`
	Included    bool       `json:"included"`
	JournalName *string    `json:"journalName,omitempty"`
	Position    Number     `json:"position"`
	ServerID    Number     `json:"serverId"`
	Timestamp   timeNumber `json:"timestamp"`
}

// Number reads a JSON number that may stand in quotes, as Canal's reader does.
type Number int64

// UnmarshalJSON reads the number; null is 0.
func (n *Number) UnmarshalJSON(b []byte) error {
	b = bytes.Trim(b, `"`)
	if len(b) == 0 || string(b) == "null" {
		*n = 0
		return nil
	}
	v, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("number %.30q: %w", b, err)
	}
	*n = Number(v)
	return nil
}

// timeNumber reads milliseconds, or a local date and time in quotes.
type timeNumber int64

func (n *timeNumber) UnmarshalJSON(b []byte) error {
	if t, err := time.ParseInLocation(`"2006-01-02 15:04:05"`, string(b), time.Local); err == nil {
		*n = timeNumber(t.UnixMilli())
		return nil
	}
	return (*Number)(n).UnmarshalJSON(b)
}

// MarshalJSON writes Canal's layout.
func (c Cursor) MarshalJSON() ([]byte, error) {
	p := c.Position
	addr := &addressJSON{Port: Number(c.Port)}
	if c.Host != "" {
		addr.Address = &c.Host
	}
	return marshal(cursorJSON{
		Identity: &identityJSON{SlaveID: -1, SourceAddress: addr},
		Postion: &postionJSON{
			GTID: &p.GTID, JournalName: &p.File, Position: Number(p.Offset),
			ServerID: Number(p.ServerID), Timestamp: timeNumber(p.Timestamp),
		},
	})
}

// UnmarshalJSON reads whatever Canal's own reader takes, and what it should:
// keys in any order, unknown keys, a missing address.
func (c *Cursor) UnmarshalJSON(b []byte) error {
	var j cursorJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*c = Cursor{}
	if j.Identity != nil && j.Identity.SourceAddress != nil {
		c.Port = int(j.Identity.SourceAddress.Port)
		if a := j.Identity.SourceAddress.Address; a != nil {
			c.Host = *a
		}
	}
	if j.Postion == nil {
		return errors.New("cursor without a position")
	}
	p := j.Postion
	if p.Position < 0 {
		return fmt.Errorf("cursor with the negative position %d", p.Position)
	}
	c.Position = Position{Offset: uint64(p.Position), ServerID: int64(p.ServerID), Timestamp: int64(p.Timestamp)}
	if p.JournalName != nil {
		c.Position.File = *p.JournalName
	}
	if p.GTID != nil {
		c.Position.GTID = *p.GTID
	}
	return nil
}

// marshal is json.Marshal that leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}
