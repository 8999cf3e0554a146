package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
)

// rawDump reads a whole binlog from a position as fast as the socket gives it
// and throws it away: the floor that no server can go below. It returns when the
// source has nothing more, after size bytes of events.
func rawDump(ctx context.Context, addr, user, password, file string, offset uint32, size int64) (time.Duration, error) {
	c, err := client.ConnectWithContext(ctx, addr, user, password, "", 10*time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for _, sql := range []string{"SET @master_binlog_checksum= @@global.binlog_checksum", "SET @mariadb_slave_capability='4'"} {
		if _, err := c.Execute(sql); err != nil {
			return 0, err
		}
	}
	body := []byte{0, 0, 0, 0, 0x12}
	body = binary.LittleEndian.AppendUint32(body, offset)
	body = binary.LittleEndian.AppendUint16(body, 1) // end at the end of the binlog
	body = binary.LittleEndian.AppendUint32(body, 99999)
	body = append(body, file...)
	body[0] = byte(len(body) - 4)
	start := time.Now()
	if _, err := c.Write(body); err != nil {
		return 0, err
	}
	buf := make([]byte, 1<<20)
	var got int64
	for got < size {
		n, err := c.Read(buf)
		if err != nil {
			return 0, fmt.Errorf("raw dump after %d bytes: %w", got, err)
		}
		got += int64(n)
	}
	return time.Since(start), nil
}
