package binlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/position"
)

// ErrPositionPurged is wrapped by the error of a dump whose start is not in the
// source's binlog any more.
var ErrPositionPurged = errors.New("start position is not in the source's binlog")

// ErrSourceClosed is returned when the source ended the dump; a second replica
// with the same server id is the usual cause when it happens again at once.
var ErrSourceClosed = errors.New("the source ended the dump: it was shut down, or another replica uses the same slaveId")

const (
	comBinlogDump    = 0x12
	comBinlogDumpSet = 0x1e
	comRegisterSlave = 0x15
	// flagAnnotate asks MariaDB for ANNOTATE_ROWS events.
	flagAnnotate = 0x02
	// flagThroughSet says that the dump goes by a set.
	flagThroughSet = 0x04
	maxPacket      = 1<<24 - 1
	// maxEventBytes is more than max_allowed_packet allows (1 GiB).
	maxEventBytes    = 1<<30 + 1<<20
	readBufferBytes  = 64 << 10
	readBufferMaxLen = 1 << 20
)

// dump is a session that has become a stream of events.
type dump struct {
	conn     net.Conn // TLS or not
	timeout  time.Duration
	buf      []byte
	r, w     int
	joined   []byte // an event of several packets
	checksum bool
}

// startDump prepares the session as a replica and asks for the binlog from pos on.
func (s *session) startDump(ctx context.Context, cfg Config, pos position.Position) (*dump, error) {
	if pos.Offset > math.MaxUint32 {
		return nil, fmt.Errorf("dump from %s: the protocol has no offsets above 4 GiB", pos)
	}
	body := []byte{comBinlogDump}
	body = binary.LittleEndian.AppendUint32(body, uint32(pos.Offset))
	body = binary.LittleEndian.AppendUint16(body, flagAnnotate)
	body = binary.LittleEndian.AppendUint32(body, cfg.ServerID)
	body = append(body, pos.File...)
	return s.askDump(ctx, cfg, body, pos.String())
}

// startDumpBySet is startDump for what is not in a set.
func (s *session) startDumpBySet(ctx context.Context, cfg Config, set *position.GTIDSet) (*dump, error) {
	if s.maria {
		for _, sql := range []string{
			"SET @slave_connect_state='" + set.String() + "'", "SET @slave_gtid_strict_mode=0", "SET @slave_gtid_ignore_duplicates=0",
		} {
			res, err := s.query(ctx, sql)
			if err != nil {
				return nil, err
			}
			res.Close()
		}
		return s.startDump(ctx, cfg, position.Position{})
	}
	data := set.Encode()
	body := []byte{comBinlogDumpSet}
	body = binary.LittleEndian.AppendUint16(body, flagThroughSet)
	body = binary.LittleEndian.AppendUint32(body, cfg.ServerID)
	body = binary.LittleEndian.AppendUint32(body, 0) // bytes of a file's name
	body = binary.LittleEndian.AppendUint64(body, firstOffset)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(data)))
	return s.askDump(ctx, cfg, append(body, data...), "a set of transactions")
}

// askDump prepares the session as a replica and sends a request for a dump.
func (s *session) askDump(ctx context.Context, cfg Config, request []byte, from string) (*dump, error) {
	for _, sql := range []string{
		"SET wait_timeout=9999999",
		"SET net_write_timeout=7200",
		"SET net_read_timeout=7200",
		"SET NAMES 'binary'",
		"SET @master_binlog_checksum= @@global.binlog_checksum",
		"SET @slave_uuid=uuid()",
		"SET @mariadb_slave_capability='4'",
		fmt.Sprintf("SET @master_heartbeat_period=%d", cfg.Heartbeat.Nanoseconds()),
	} {
		// Versions differ in what they know; a refusal changes nothing that the
		// dump cannot do without, a broken connection shows at the next statement.
		if res, err := s.query(ctx, sql); err == nil {
			res.Close()
		} else if !isLoginError(err) {
			return nil, err
		}
	}
	checksum := false
	if res, err := s.query(ctx, "SELECT @@global.binlog_checksum"); err == nil {
		alg, _ := res.GetString(0, 0)
		checksum = strings.EqualFold(alg, "CRC32")
		res.Close()
	} else if !isLoginError(err) {
		return nil, err
	}
	d := &dump{conn: s.conn.Conn.Conn, timeout: cfg.ReadTimeout, buf: make([]byte, readBufferBytes), checksum: checksum}
	if err := d.conn.SetDeadline(time.Now().Add(s.timeout)); err != nil {
		return nil, err
	}
	if err := d.register(cfg); err != nil {
		return nil, fmt.Errorf("register as replica %d: %w", cfg.ServerID, err)
	}
	if err := d.write(request); err != nil {
		return nil, fmt.Errorf("dump from %s: %w", from, err)
	}
	return d, d.conn.SetDeadline(time.Time{})
}

// register announces this replica. Canal sends the database's user and password
// along, which the source shows to whoever asks for its replicas; here they stay empty.
func (d *dump) register(cfg Config) error {
	host, port := "", uint16(0)
	if a, ok := d.conn.LocalAddr().(*net.TCPAddr); ok {
		host, port = a.IP.String(), uint16(a.Port)
	}
	body := []byte{comRegisterSlave}
	body = binary.LittleEndian.AppendUint32(body, cfg.ServerID)
	body = append(body, byte(len(host)))
	body = append(body, host...)
	body = append(body, 0, 0)
	body = binary.LittleEndian.AppendUint16(body, port)
	body = append(body, make([]byte, 8)...) // rank and source id
	if err := d.write(body); err != nil {
		return err
	}
	answer, err := d.packet()
	if err != nil {
		return err
	}
	if len(answer) > 0 && answer[0] == 0xff {
		return parseError(answer)
	}
	return nil
}

func (d *dump) write(body []byte) error {
	b := make([]byte, 4, 4+len(body))
	b[0], b[1], b[2] = byte(len(body)), byte(len(body)>>8), byte(len(body)>>16)
	_, err := d.conn.Write(append(b, body...))
	return err
}

// buffered tells whether a whole packet can be had without touching the socket.
func (d *dump) buffered() bool {
	have := d.w - d.r
	return have >= 4 && have-4 >= packetLen(d.buf[d.r:])
}

func packetLen(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// packet returns the next packet's body, which is valid until the next call.
func (d *dump) packet() ([]byte, error) {
	if err := d.fill(4); err != nil {
		return nil, err
	}
	n := packetLen(d.buf[d.r:])
	if err := d.fill(4 + n); err != nil {
		return nil, err
	}
	b := d.buf[d.r+4 : d.r+4+n]
	d.r += 4 + n
	return b, nil
}

// fill reads until n bytes are in the buffer, whose memory grows while reads fill it.
func (d *dump) fill(n int) error {
	for d.w-d.r < n {
		if len(d.buf)-d.r < n || d.w == len(d.buf) {
			d.makeRoom(n)
		}
		if d.timeout > 0 {
			if err := d.conn.SetReadDeadline(time.Now().Add(d.timeout)); err != nil {
				return err
			}
		}
		m, err := d.conn.Read(d.buf[d.w:])
		d.w += m
		if err != nil && d.w-d.r < n {
			return d.explainRead(err)
		}
		if d.w == len(d.buf) && len(d.buf) < readBufferMaxLen {
			d.grow(2 * len(d.buf))
		}
	}
	return nil
}

func (d *dump) makeRoom(n int) {
	if n > len(d.buf) {
		d.grow(n)
		return
	}
	if len(d.buf) > readBufferMaxLen && d.w-d.r <= readBufferMaxLen/2 && n <= readBufferMaxLen {
		d.grow(readBufferMaxLen) // back to the usual size after a huge packet
		return
	}
	copy(d.buf, d.buf[d.r:d.w])
	d.w -= d.r
	d.r = 0
}

func (d *dump) grow(size int) {
	b := make([]byte, size)
	d.w = copy(b, d.buf[d.r:d.w])
	d.r, d.buf = 0, b
}

func (d *dump) explainRead(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return ErrSourceClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no event and no heartbeat for %s: %w", d.timeout, err)
	}
	return err
}

// event returns the next event with its checksum, which is valid until the next call.
func (d *dump) event() ([]byte, error) {
	b, err := d.packet()
	if err != nil {
		return nil, err
	}
	if len(b) == maxPacket {
		if b, err = d.join(b); err != nil {
			return nil, err
		}
	} else if cap(d.joined) > readBufferMaxLen {
		d.joined = nil
	}
	if len(b) == 0 {
		return nil, errors.New("empty packet in the dump")
	}
	switch b[0] {
	case 0:
		return b[1:], nil
	case 0xfe:
		return nil, ErrSourceClosed
	case 0xff:
		return nil, parseError(b)
	}
	return nil, fmt.Errorf("packet of unknown kind 0x%02x in the dump", b[0])
}

func (d *dump) join(b []byte) ([]byte, error) {
	d.joined = append(d.joined[:0], b...)
	for len(b) == maxPacket {
		var err error
		if b, err = d.packet(); err != nil {
			return nil, err
		}
		if len(d.joined)+len(b) > maxEventBytes {
			return nil, fmt.Errorf("event of more than %d bytes", maxEventBytes)
		}
		d.joined = append(d.joined, b...)
	}
	return d.joined, nil
}

// parseError reads an ERR packet.
func parseError(b []byte) error {
	if len(b) < 3 {
		return errors.New("error packet too short")
	}
	e := &mysql.MyError{Code: binary.LittleEndian.Uint16(b[1:])}
	msg := b[3:]
	if len(msg) > 6 && msg[0] == '#' {
		e.State, msg = string(msg[1:6]), msg[6:]
	}
	e.Message = string(msg)
	switch e.Code {
	case mysql.ER_MASTER_FATAL_ERROR_READING_BINLOG:
		return explainFatal(e)
	case mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR, mysql.ER_ACCESS_DENIED_ERROR:
		return fmt.Errorf("%w: %w; repair on the source: GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO the canal account", ErrPrecondition, e)
	}
	return e
}

// explainFatal sorts the one code under which the source reports very different things.
func explainFatal(e *mysql.MyError) error {
	text := strings.ToLower(e.Message)
	switch {
	case strings.Contains(text, "could not find first log"), strings.Contains(text, "purged"),
		strings.Contains(text, "more gtids than"), strings.Contains(text, "not in the master's binlog"):
		return fmt.Errorf("%w: %w", ErrPositionPurged, e)
	case strings.Contains(text, "same server"):
		return fmt.Errorf("%w: %w", ErrSourceClosed, e)
	}
	return e
}

// ErrChecksum is wrapped by the error of an event whose CRC-32 does not fit.
var ErrChecksum = errors.New("checksum of an event does not fit")

// body verifies and strips the checksum of a whole event.
func body(raw []byte, checksum bool) ([]byte, error) {
	if !checksum {
		return raw, nil
	}
	n := len(raw) - event.ChecksumLen
	if n < event.HeaderLen {
		return nil, fmt.Errorf("event of %d bytes with checksum: %w", len(raw), event.ErrShort)
	}
	if want, have := binary.LittleEndian.Uint32(raw[n:]), crc32.ChecksumIEEE(raw[:n]); want != have {
		return nil, fmt.Errorf("%w: %08x in the event, %08x computed", ErrChecksum, want, have)
	}
	return raw[:n], nil
}
