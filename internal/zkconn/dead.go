package zkconn

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// ErrLive is returned when the process whose session is to be closed lives.
var ErrLive = errors.New("the process of this session lives")

// keptSession is the session file.
type keptSession struct {
	Servers  string `json:"servers"`
	Session  string `json:"session"`  // 16 hex digits
	Password string `json:"password"` // hex
	Millis   int64  `json:"timeout_millis"`
	PID      int    `json:"pid"`
	Started  string `json:"started,omitempty"` // of the process, in the system's own unit
	Boot     string `json:"boot,omitempty"`    // that the process belongs to
}

const (
	maxSessionFileBytes = 64 << 10
	closeTimeout        = 5 * time.Second // of one server
)

func (c *Conn) keepSession(h handshake) error {
	raw, err := json.Marshal(keptSession{
		Servers: c.cfg.Servers.String(), Session: fmt.Sprintf("%016x", uint64(h.session)), Password: hex.EncodeToString(h.password),
		Millis: h.timeout.Milliseconds(), PID: os.Getpid(), Started: processStart(os.Getpid()), Boot: bootID(),
	})
	if err != nil {
		return err
	}
	// CreateTemp makes files that only their owner may read.
	f, err := os.CreateTemp(filepath.Dir(c.cfg.SessionFile), "."+filepath.Base(c.cfg.SessionFile)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(raw, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), c.cfg.SessionFile)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func (c *Conn) forgetSession() {
	if err := os.Remove(c.cfg.SessionFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Warn("the file of a closed session cannot be removed", zap.Error(err))
	}
}

// CloseDead closes the session that a process left behind when it died, so that
// its ephemeral nodes vanish at once, and removes the file. It returns the
// session's name, which is empty when the file is not there. The caller holds
// the lock that the process held as long as it lived; a process that lives all
// the same is left alone, with ErrLive.
func CloseDead(ctx context.Context, file string, secure *tls.Config) (string, error) {
	raw, err := readSessionFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("session file: %w", err)
	}
	k, h, servers, err := parseSessionFile(raw)
	if err != nil {
		return "", fmt.Errorf("session file %s: %w", file, err)
	}
	if k.lives() {
		return sessionName(h.session), fmt.Errorf("%w: it is %d", ErrLive, k.PID)
	}
	var errs []error
	for _, addr := range servers.Addrs {
		err := closeAt(ctx, addr, h, secure)
		if err == nil {
			errs = nil
			break
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, err))
	}
	if len(errs) > 0 {
		return sessionName(h.session), fmt.Errorf("close session %s: %w", sessionName(h.session), errors.Join(errs...))
	}
	if err := os.Remove(file); err != nil {
		return sessionName(h.session), fmt.Errorf("session file: %w", err)
	}
	return sessionName(h.session), nil
}

func readSessionFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxSessionFileBytes))
}

func parseSessionFile(raw []byte) (k keptSession, h handshake, s Servers, err error) {
	if err = json.Unmarshal(raw, &k); err != nil {
		return k, h, s, err
	}
	id, err := strconv.ParseUint(k.Session, 16, 64)
	if err != nil || id == 0 {
		return k, h, s, fmt.Errorf("session %q is none", k.Session)
	}
	h.session, h.timeout = int64(id), time.Duration(k.Millis)*time.Millisecond
	if h.password, err = hex.DecodeString(k.Password); err != nil || len(h.password) > maxHandshakeBytes/2 {
		return k, h, s, errors.New("the password is none")
	}
	if k.Millis <= 0 || k.Millis > 1<<31-1 || k.PID <= 0 {
		return k, h, s, errors.New("timeout or process id are none")
	}
	s, err = ParseServers(k.Servers)
	return k, h, s, err
}

// lives tells whether the process that wrote the file is there. A process id
// alone says nothing: another process may have it by now.
func (k keptSession) lives() bool {
	if k.Boot != "" && k.Boot != bootID() {
		return false
	}
	if k.Started != "" {
		return processStart(k.PID) == k.Started
	}
	return k.PID != os.Getpid() && syscall.Kill(k.PID, 0) == nil
}

func bootID() string {
	raw, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(raw))
}

// processStart is when a process began, in ticks since the boot; empty where
// that cannot be known or there is no such process.
func processStart(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The second field is the name in brackets, which may hold anything.
	i := bytes.LastIndexByte(raw, ')')
	if i < 0 {
		return ""
	}
	const field = 22 - 3 // the fields behind the name begin with the third
	fields := strings.Fields(string(raw[i+1:]))
	if len(fields) <= field || fields[0] == "Z" || fields[0] == "X" { // a zombie is dead
		return ""
	}
	return fields[field]
}

// closeAt takes the session over at a server and closes it.
func closeAt(ctx context.Context, addr string, h handshake, secure *tls.Config) error {
	conn, err := Dialer{secure}.dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(closeTimeout)); err != nil {
		return err
	}
	b := make([]byte, 0, 64)
	b = binary.BigEndian.AppendUint32(b, 0) // version
	b = binary.BigEndian.AppendUint64(b, 0) // no transaction seen
	b = binary.BigEndian.AppendUint32(b, uint32(h.timeout.Milliseconds()))
	b = binary.BigEndian.AppendUint64(b, uint64(h.session))
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.password)))
	b = append(b, h.password...)
	b, err = exchange(conn, b)
	if err != nil {
		return err
	}
	got, err := parseHandshake(b)
	switch {
	case err != nil:
		return err
	case got.session == 0:
		return nil // it has ended already
	case got.session != h.session:
		return fmt.Errorf("the server answers for session %s", sessionName(got.session))
	}
	const closeSession = -11
	b = binary.BigEndian.AppendUint32(nil, 1) // xid
	b = binary.BigEndian.AppendUint32(b, uint32(0x100000000+closeSession))
	if b, err = exchange(conn, b); err != nil {
		return err
	}
	if len(b) < minReplyBytes {
		return fmt.Errorf("reply of %d bytes", len(b))
	}
	if code := int32(binary.BigEndian.Uint32(b[12:])); code != 0 {
		return fmt.Errorf("the server answers with code %d", code)
	}
	return nil
}

// exchange sends a packet and reads the next one.
func exchange(rw io.ReadWriter, packet []byte) ([]byte, error) {
	if _, err := rw.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxHandshakeBytes {
		return nil, fmt.Errorf("reply of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(rw, b)
	return b, err
}
