package zkconn

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// packet is a message with its length before it.
func packet(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func connectReply(session int64, timeoutMillis uint32, password []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0)
	b = binary.BigEndian.AppendUint32(b, timeoutMillis)
	b = binary.BigEndian.AppendUint64(b, uint64(session))
	b = binary.BigEndian.AppendUint32(b, uint32(len(password)))
	return append(b, password...)
}

func reply(xid int32) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(xid)), make([]byte, 12)...)
}

// twoEnds makes a wire and the far end of its connection.
func twoEnds(t *testing.T) (w *wire, far net.Conn, shakes *[]handshake, contacts *[]time.Time) {
	t.Helper()
	near, far := net.Pipe()
	w, err := newWire(near, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
	})
	shakes, contacts = &[]handshake{}, &[]time.Time{}
	w.forget = func() forgetting { return nothing }
	w.shaken = func(h handshake, _ time.Time) {
		*shakes = append(*shakes, h)
		w.alive = func(at time.Time) { *contacts = append(*contacts, at) }
	}
	return w, far, shakes, contacts
}

func send(t *testing.T, w *wire, far net.Conn, p []byte) []byte {
	t.Helper()
	got := make([]byte, len(p))
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(far, got)
		done <- err
	}()
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return got
}

func receive(t *testing.T, w *wire, far net.Conn, p []byte) error {
	t.Helper()
	go func() { _, _ = far.Write(p) }()
	got := make([]byte, len(p))
	// As the library reads: the length, then the rest.
	if _, err := io.ReadFull(w, got[:4]); err != nil {
		return err
	}
	if _, err := io.ReadFull(w, got[4:]); err != nil {
		return err
	}
	if !bytes.Equal(got, p) {
		t.Fatalf("read %x, not %x", got, p)
	}
	return nil
}

func TestWireKeepsTheTimeOfSending(t *testing.T) {
	w, far, shakes, contacts := twoEnds(t)
	ask := packet(append(make([]byte, 4), "12345678 and more"...))
	if got := send(t, w, far, ask); !bytes.Equal(got, ask) {
		t.Errorf("the connect request was changed to %x", got)
	}
	if err := receive(t, w, far, packet(connectReply(7, 6000, []byte("pw")))); err != nil {
		t.Fatal(err)
	}
	if len(*shakes) != 1 || (*shakes)[0].session != 7 || (*shakes)[0].timeout != 6*time.Second || string((*shakes)[0].password) != "pw" {
		t.Fatalf("handshakes %+v", *shakes)
	}
	before := time.Now()
	send(t, w, far, packet(reply(1)))
	send(t, w, far, packet(reply(pingXID)))
	between := time.Now()
	time.Sleep(10 * time.Millisecond)
	for _, xid := range []int32{-1, 99, 1} { // a notice, an unknown one, ours
		if err := receive(t, w, far, packet(reply(xid))); err != nil {
			t.Fatal(err)
		}
	}
	if len(*contacts) != 1 || (*contacts)[0].Before(before) || (*contacts)[0].After(between) {
		t.Errorf("contacts %v, not one between %v and %v", *contacts, before, between)
	}
	if err := receive(t, w, far, packet(reply(pingXID))); err != nil {
		t.Fatal(err)
	}
	if len(*contacts) != 2 {
		t.Errorf("contacts %v", *contacts)
	}
}

func TestWireForgets(t *testing.T) {
	// version, last transaction, timeout, session, password
	const request = "0000" + "seenseen" + "time" + "session!" + "0016" + "passwordpassword" + "and more"
	for f, want := range map[forgetting]string{
		nothing:    request,
		newest:     strings.Replace(request, "seenseen", string(make([]byte, 8)), 1),
		everything: "0000" + string(make([]byte, 8)) + "time" + string(make([]byte, 8)) + "0016" + string(make([]byte, 16)) + "and more",
	} {
		w, far, _, _ := twoEnds(t)
		w.forget = func() forgetting { return f }
		if got := send(t, w, far, packet([]byte(request))); string(got[4:]) != want {
			t.Errorf("%d: sent %q, not %q", f, got[4:], want)
		}
	}
	w, far, _, _ := twoEnds(t)
	w.forget = func() forgetting { return everything }
	if got := send(t, w, far, packet([]byte("short"))); string(got[4:]) != "short" {
		t.Errorf("sent %q", got)
	}
}

func TestWireBounds(t *testing.T) {
	for name, b := range map[string][]byte{
		"huge handshake":      binary.BigEndian.AppendUint32(nil, 1<<31),
		"short handshake":     packet(make([]byte, 5)),
		"password too long":   packet(connectReply(1, 1, nil)[:16:16]),
		"session without end": packet(connectReply(1, 0, nil)),
	} {
		t.Run(name, func(t *testing.T) {
			w, far, _, _ := twoEnds(t)
			if err := receive(t, w, far, append(b, make([]byte, 8)...)); err == nil {
				t.Error("no error")
			}
		})
	}
	for name, n := range map[string]uint32{"short reply": 3, "huge reply": maxReplyBytes + 1} {
		t.Run(name, func(t *testing.T) {
			w, far, _, _ := twoEnds(t)
			if err := receive(t, w, far, packet(connectReply(1, 1, nil))); err != nil {
				t.Fatal(err)
			}
			if err := receive(t, w, far, append(binary.BigEndian.AppendUint32(nil, n), make([]byte, 40)...)); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestStates(t *testing.T) {
	s := newStates()
	_, changed := s.get()
	s.set(Session{ID: 1, Connected: true})
	select {
	case <-changed:
	default:
		t.Error("a change is not told")
	}
	_, changed = s.get()
	if _, different := s.set(Session{ID: 1, Connected: true}); different {
		t.Error("an equal state counts as a change")
	}
	select {
	case <-changed:
		t.Error("no change is told as one")
	default:
	}
	now := time.Now()
	s.touch(1, now)
	s.touch(1, now.Add(-time.Second))
	if got := s.contact.Load(); !got.At.Equal(now) {
		t.Errorf("contact went back to %v", got)
	}
	s.touch(2, now.Add(-time.Second))
	if got := s.contact.Load(); got.Session != 2 {
		t.Errorf("contact of another session: %+v", got)
	}
}

func FuzzHandshake(f *testing.F) {
	f.Add(connectReply(1, 6000, []byte("0123456789abcdef")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHandshake(b); err == nil && len(h.password) > len(b) {
			t.Error("a password longer than its packet")
		}
	})
}

func FuzzSessionFile(f *testing.F) {
	f.Add([]byte(`{"servers":"a:1","session":"00000000000000ff","password":"00","timeout_millis":1000,"pid":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, h, s, err := parseSessionFile(b); err == nil && (h.session == 0 || len(s.Addrs) == 0) {
			t.Error("a session file without session or servers is taken")
		}
	})
}
