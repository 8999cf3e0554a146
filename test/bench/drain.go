package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/canald/canald/internal/packet"
)

// drainRows gets and acknowledges batches until so many rows came. It keeps one
// request ahead of what it reads and looks at nothing but the row counts, so
// that the server is measured and not the client.
func drainRows(ctx context.Context, addr string, rows int) error {
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(nc, 1<<20)
	var buf []byte
	read := func() (packet.Packet, error) {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return packet.Packet{}, err
		}
		n := int(binary.BigEndian.Uint32(head[:]))
		if cap(buf) < n {
			buf = make([]byte, n)
		}
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return packet.Packet{}, err
		}
		var p packet.Packet
		return p, p.Decode(buf[:n])
	}
	send := func(m packet.Message) error {
		_, err := nc.Write(packet.AppendRequest(nil, m))
		return err
	}
	get := &packet.Get{Destination: "bench", ClientID: "1001", FetchSize: 1000, Timeout: packet.Some[int64](10), Unit: packet.Some[int32](2)}
	if _, err := read(); err != nil { // handshake
		return err
	}
	if err := send(&packet.ClientAuth{}); err != nil {
		return err
	}
	if _, err := read(); err != nil {
		return err
	}
	if err := send(get); err != nil {
		return err
	}
	for got := 0; got < rows; {
		p, err := read()
		if err != nil {
			return err
		}
		if p.Type != packet.TypeMessages {
			return fmt.Errorf("answer of type %s after %d rows", p.Type, got)
		}
		var m packet.Messages
		if err := m.Decode(p.Body); err != nil {
			return err
		}
		if m.BatchID > 0 {
			if err := send(&packet.ClientAck{Destination: "bench", ClientID: "1001", BatchID: m.BatchID}); err != nil {
				return err
			}
		}
		if err := send(get); err != nil {
			return err
		}
		for _, raw := range m.Items {
			got += rowsOf(raw)
		}
	}
	return nil
}

// rowsOf reads the rowsCount of an entry's header and nothing else, so that the
// client costs little beside the server.
func rowsOf(entry []byte) int {
	header := field(entry, 1)
	for len(header) > 0 {
		num, typ, n := protowire.ConsumeTag(header)
		if n < 0 {
			return 0
		}
		header = header[n:]
		if num == 12 && typ == protowire.BytesType {
			pair, n := protowire.ConsumeBytes(header)
			if n < 0 {
				return 0
			}
			header = header[n:]
			if string(field(pair, 1)) == "rowsCount" {
				rows, _ := strconv.Atoi(string(field(pair, 2)))
				return rows
			}
			continue
		}
		if n = protowire.ConsumeFieldValue(num, typ, header); n < 0 {
			return 0
		}
		header = header[n:]
	}
	return 0
}

func field(m []byte, want protowire.Number) []byte {
	for len(m) > 0 {
		num, typ, n := protowire.ConsumeTag(m)
		if n < 0 {
			return nil
		}
		m = m[n:]
		if num == want && typ == protowire.BytesType {
			b, _ := protowire.ConsumeBytes(m)
			return b
		}
		if n = protowire.ConsumeFieldValue(num, typ, m); n < 0 {
			return nil
		}
		m = m[n:]
	}
	return nil
}
