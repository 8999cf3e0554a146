package server_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/packet"
	"github.com/canald/canald/internal/server"
)

const canalHash = "e3619321c1a937c46a0d8bd1dac39f93b27d4458"

// Bad input, a row each: what must happen, and that nothing else is harmed.
func TestBadInput(t *testing.T) {
	secret := server.Config{User: "canal", PasswordHash: canalHash}
	quick := func(c server.Config) server.Config {
		c.PreAuthTimeout, c.FrameTimeout, c.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
		return c
	}
	frame := func(typ packet.Type, body []byte) []byte {
		p := packet.Packet{Type: typ, Body: body}
		b := p.Append(nil)
		return append([]byte{0, 0, byte(len(b) >> 8), byte(len(b))}, b...)
	}
	notPacket := unhex("00 00 00 03 18 06 0c")
	long := strings.Repeat("é", 8000)

	for _, c := range []struct {
		name string
		cfg  server.Config
		run  func(t *testing.T, s *setup)
	}{
		{"negative length before authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.send(unhex("ff ff ff ff"))
			p.wantClosed()
		}},
		{"negative length after authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.send(unhex("80 00 00 00"))
			p.wantClosed()
		}},
		{"length 0 before authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.send(unhex("00 00 00 00"))
			p.wantError(400, "packet type: PACKAGETYPECOMPATIBLEPROTO2 is NOT supported!")
			p.ask(&packet.ClientAuth{})
			p.wantOK()
		}},
		{"length 0 after authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.send(unhex("00 00 00 00"))
			p.wantError(400, "packet type: PACKAGETYPECOMPATIBLEPROTO2 is NOT supported!")
			p.wantAlive()
		}},
		{"huge length before authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.send(unhex("00 10 00 01"))
			p.wantClosed()
		}},
		{"huge length after authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.send(unhex("04 00 00 01"))
			p.wantClosed()
		}},
		{"large filter after authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			filter := strings.Repeat("a", 3<<20)
			p.ask(sub("example", "1001", filter))
			p.wantOK()
			if s.w.filter("example") != filter {
				t.Error("filter did not arrive")
			}
		}},
		{"huge length, data never comes", quick(server.Config{}), func(t *testing.T, s *setup) {
			p := s.login(t)
			p.send(unhex("03 00 00 00 18"))
			p.wantClosed()
		}},
		{"frame trickling in", quick(server.Config{PreAuthTimeout: time.Minute}), func(t *testing.T, s *setup) {
			p := s.login(t)
			p.send(unhex("00 00"))
			p.wantClosed()
		}},
		{"packet not parseable before authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.send(notPacket)
			p.wantClosed()
		}},
		{"packet not parseable after authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.send(notPacket)
			p.wantClosed()
		}},
		{"body not parseable before authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.send(frame(packet.TypeClientAuth, []byte{0x0a, 5}))
			if text := p.exception(); !strings.HasPrefix(text, "com.google.protobuf.InvalidProtocolBufferException: client authentication: ") {
				t.Errorf("text is %q", text)
			}
			p.ask(&packet.ClientAuth{})
			p.wantOK()
		}},
		{"body not parseable after authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.send(frame(packet.TypeGet, []byte{0x0a, 5}))
			text := p.exception()
			if !strings.HasPrefix(text, "com.google.protobuf.InvalidProtocolBufferException: get: ") || strings.Count(text, "\n") != 1 {
				t.Errorf("text is %q", text)
			}
			p.wantAlive()
		}},
		{"ack not parseable", server.Config{}, func(t *testing.T, s *setup) {
			p := s.subscribed(t)
			p.send(frame(packet.TypeClientAck, []byte{0x0a, 5}))
			p.wantAlive()
			p.get(1)
			if text := p.exception(); !strings.HasPrefix(text, "com.google.protobuf.InvalidProtocolBufferException: client ack: ") {
				t.Errorf("text is %q", text)
			}
			p.get(1)
			p.wantEmpty()
		}},
		{"invalid UTF-8", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.send(frame(packet.TypeSub, unhex("0a 02 c3 28 12 01 31")))
			p.wantException("com.google.protobuf.InvalidProtocolBufferException", "subscription: field at byte 0: invalid UTF-8")
			p.wantAlive()
		}},
		{"unknown fields", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.send(frame(packet.TypeSub, append(sub("example", "1001", "").Append(nil), unhex("98 06 07 a2 06 01 ff")...)))
			p.wantOK()
		}},
		{"version, magic number and compression", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.send(unhex("00 00 00 19 08 63 10 07 18 04 20 02 2a 0f 0a 07 65 78 61 6d 70 6c 65 12 04 31 30 30 31"))
			p.wantOK()
		}},
		{"unsupported packet types", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			for typ, name := range map[packet.Type]string{
				0: "PACKAGETYPECOMPATIBLEPROTO2", 1: "HANDSHAKE", 3: "ACK", 7: "MESSAGES", 9: "SHUTDOWN", 10: "DUMP", 11: "HEARTBEAT",
				13: "UNRECOGNIZED", -1: "UNRECOGNIZED", 1 << 30: "UNRECOGNIZED",
			} {
				p.send(frame(typ, nil))
				p.wantError(400, "packet type: "+name+" is NOT supported!")
			}
		}},
		{"first frame is not an authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.ask(sub("example", "1001", ""))
			p.wantError(400, "packet type: SUBSCRIPTION is NOT supported!")
			p.ask(&packet.ClientAuth{})
			p.wantOK()
			p.get(1)
			p.wantException(serverException, "ClientIdentity:ClientIdentity[destination=example,clientId=1001,filter=<null>] should subscribe first")
		}},
		{"first frame is not an authentication, with password", secret, func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.ask(sub("canal", "1001", ""))
			p.wantError(400, "packet type: SUBSCRIPTION is NOT supported!")
			p.get(1)
			p.wantError(400, "packet type: GET is NOT supported!")
		}},
		{"flood before authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.dial(t)
			for range 32 {
				p.send(frame(packet.TypeGet, nil))
				p.wantError(400, "packet type: GET is NOT supported!")
			}
			p.send(frame(packet.TypeGet, nil))
			p.wantClosed()
		}},
		{"no authentication at all", quick(server.Config{}), func(t *testing.T, s *setup) {
			s.dial(t).wantClosed()
		}},
		{"no authentication, but other packets", quick(server.Config{}), func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.send(unhex("00 00 00 00"))
			p.read()
			p.wantClosed()
		}},
		{"bad token text", secret, func(t *testing.T, s *setup) {
			for _, token := range []string{"zz", "7de4", strings.Repeat("g", 40), "", strings.Repeat("00", 40)} {
				p := s.dial(t)
				p.ask(&packet.ClientAuth{Username: "canal", Password: []byte(token)})
				p.wantError(400, "auth failed for user:canal")
				p.ask(&packet.ClientAuth{Username: "canal", Password: packet.Token("canal", p.seed)})
				p.wantOK()
			}
		}},
		{"repeated failed authentication", secret, func(t *testing.T, s *setup) {
			p := s.dial(t)
			for range 3 {
				p.ask(&packet.ClientAuth{Username: "canal", Password: packet.Token("wrong", p.seed)})
				p.wantError(400, "auth failed for user:canal")
			}
			p.wantClosed()
		}},
		{"long user name", secret, func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.ask(&packet.ClientAuth{Username: long})
			p.wantError(400, "auth failed for user:"+long[:8192-22]) // 21 bytes of text before it, an é has two
		}},
		{"second authentication", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.ask(&packet.ClientAuth{})
			p.wantError(400, "packet type: CLIENTAUTHENTICATION is NOT supported!")
			p.wantAlive()
		}},
		{"implicit subscription", server.Config{}, func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.ask(&packet.ClientAuth{Destination: "example", ClientID: "1001", Filter: "a.b"})
			p.wantOK()
			p.get(1)
			p.wantEmpty()
			if f := s.w.filter("example"); f != "a.b" {
				t.Errorf("filter is %q", f)
			}
		}},
		{"implicit subscription fails", server.Config{}, func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.ask(&packet.ClientAuth{Destination: "nowhere", ClientID: "1001"})
			p.wantNotRunning("nowhere")
			p.ask(&packet.ClientAuth{Destination: "example", ClientID: "x"})
			p.wantException("java.lang.NumberFormatException", `For input string: "x"`)
			p.ask(&packet.ClientAuth{})
			p.wantOK()
		}},
		{"empty destination or client id", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.ask(sub("", "1001", "x"))
			p.wantError(401, "destination or clientId is null. Sub: client_id: \"1001\"\nfilter: \"x\"\n")
			p.ask(unsub("example", ""))
			p.wantError(401, "destination or clientId is null. Unsub: destination: \"example\"\n")
			p.ask(get("example", "", 7, -1))
			p.wantError(401, "destination or clientId is null. Get: destination: \"example\"\nfetch_size: 7\ntimeout: -1\nunit: 2\nauto_ack: false\n")
			p.ask(ack("", "", -1))
			p.get(1)
			p.wantError(401, "destination or clientId is null. Ack: batch_id: -1\n")
			p.ask(rollback("", "1001", 3))
			p.get(1)
			p.wantError(401, "destination or clientId is null. Rollback: client_id: \"1001\"\nbatch_id: 3\n")
			p.wantAlive()
		}},
		{"client id is no 16-bit number", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			for id, text := range map[string]string{
				"abc": `For input string: "abc"`, "1 ": `For input string: "1 "`, "+": `For input string: "+"`, "+-1": `For input string: "+-1"`,
				"0x10": `For input string: "0x10"`, "1_0": `For input string: "1_0"`, "99999999999": `For input string: "99999999999"`,
				"32768": `Value out of range. Value:"32768" Radix:10`, "-32769": `Value out of range. Value:"-32769" Radix:10`,
			} {
				p.ask(get("example", id, 1, -1))
				p.wantException("java.lang.NumberFormatException", text)
				p.ask(ack("example", id, 5))
				p.ask(sub("example", "1001", ""))
				p.wantException("java.lang.NumberFormatException", text)
			}
			for _, id := range []string{"+7", "-32768", "32767", "00007", "0"} {
				p.ask(sub("example", id, ""))
				p.wantOK()
			}
			p.ask(get("example", "7", 1, -1))
			p.wantEmpty()
		}},
		{"unknown destination", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.ask(rollback("nowhere", "1001", 0))
			p.ask(rollback("nowhere", "1001", 9))
			p.ask(sub("nowhere", "1001", ""))
			p.wantNotRunning("nowhere")
			p.get(1)
			p.wantException(serverException, "ClientIdentity:ClientIdentity[destination=example,clientId=1001,filter=<null>] should subscribe first")
			p.ask(get("nowhere", "1001", 1, 0))
			p.wantNotRunning("nowhere")
			p.ask(ack("nowhere", "1001", 1))
			p.get(1)
			p.wantNotRunning("nowhere")
			p.ask(unsub("nowhere", "1001"))
			p.wantNotRunning("nowhere")
		}},
		{"destination with unusual characters", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			for d, shown := range map[string]string{"a/b": "a/b", "..": "..", "a\nb\x00c": "a b c"} {
				p.ask(sub(d, "1001", ""))
				p.wantNotRunning(shown)
			}
		}},
		{"destination stopped: subscription and unsubscription", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			s.w.setRunning("example", false)
			p.ask(unsub("example", "1001"))
			p.wantNotRunning("example")
			p.ask(sub("example", "1001", ""))
			p.wantNotRunning("example")
		}},
		{"unsubscription twice", server.Config{}, func(t *testing.T, s *setup) {
			p := s.subscribed(t)
			for range 2 {
				p.ask(unsub("example", "1001"))
				p.wantOK()
			}
		}},
		{"get and ack without subscription", server.Config{}, func(t *testing.T, s *setup) {
			const text = "ClientIdentity:ClientIdentity[destination=example,clientId=1001,filter=<null>] should subscribe first"
			p := s.login(t)
			p.get(1)
			p.wantException(serverException, text)
			p.ask(ack("example", "1001", 1))
			p.get(1)
			p.wantException(serverException, text)
			p.ask(rollback("example", "1001", 0))
			p.ask(rollback("example", "1001", 1))
			p.ask(sub("example", "1001", ""))
			p.wantOK()
		}},
		{"fetch size", server.Config{}, func(t *testing.T, s *setup) {
			p := s.subscribed(t)
			s.w.put("example", "a", "b", "c")
			p.get(0)
			p.wantBatch(1, "a")
			p.get(-5)
			p.wantBatch(2, "b")
			p.get(1 << 22)
			p.wantBatch(3, "c")
			p.get(-1 << 31)
			p.wantEmpty()
		}},
		{"get without limit ends with the connection", server.Config{}, func(t *testing.T, s *setup) {
			for _, timeout := range []packet.Optional[int64]{{}, packet.Some[int64](0), packet.Some[int64](-2)} {
				p := s.subscribed(t)
				p.ask(&packet.Get{Destination: "example", ClientID: "1001", FetchSize: 1, Timeout: timeout})
				p.nc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				if n, err := p.nc.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Fatal("get did not wait")
				}
				p.nc.Close()
			}
		}},
		{"get longer than the net timeouts", server.Config{}, func(t *testing.T, s *setup) {
			p := s.dial(t)
			p.ask(&packet.ClientAuth{NetReadTimeout: packet.Some[int32](100), NetWriteTimeout: packet.Some[int32](100)})
			p.wantOK()
			p.ask(sub("example", "1001", ""))
			p.wantOK()
			p.ask(get("example", "1001", 1, 400))
			p.wantEmpty()
			p.wantClosed()
		}},
		{"get while another client's get waits", server.Config{}, func(t *testing.T, s *setup) {
			p, q := s.subscribed(t), s.login(t)
			p.ask(get("example", "1001", 1, 0))
			q.ask(sub("example", "7", ""))
			q.wantOK()
			q.ask(get("example", "7", 1, -1))
			q.wantEmpty()
			q.ask(rollback("example", "7", 0))
			q.wantAlive()
			s.w.put("example", "a")
			p.wantBatch(1, "a")
		}},
		{"huge batch", server.Config{}, func(t *testing.T, s *setup) {
			p := s.subscribed(t)
			entry := strings.Repeat("x", 1<<20)
			s.w.put("example", entry, entry, entry, "tail")
			p.get(10)
			p.wantBatch(1, entry, entry, entry, "tail")
		}},
		{"unknown and out of order ids", server.Config{}, func(t *testing.T, s *setup) {
			p := s.subscribed(t)
			s.w.put("example", "a", "b")
			p.get(1)
			p.wantBatch(1, "a")
			p.get(1)
			p.wantBatch(2, "b")
			p.ask(ack("example", "1001", 2))
			p.get(1)
			p.wantException("com.alibaba.otter.canal.meta.exception.CanalMetaManagerException", "batchId:2 is not the firstly:1")
			p.ask(ack("example", "1001", 9))
			p.get(1)
			p.wantException(serverException, "ack error , clientId:1001 batchId:9 is not exist , please check")
			p.ask(rollback("example", "1001", 2))
			p.ask(rollback("example", "1001", 9)) // the first error is kept
			p.ask(sub("example", "1001", ""))
			p.wantException("com.alibaba.otter.canal.meta.exception.CanalMetaManagerException", "batchId:2 is not the firstly:1")
			p.ask(rollback("example", "1001", -1))
			p.ask(unsub("example", "1001"))
			p.wantException(serverException, "rollback error, clientId:1001 batchId:-1 is not exist , please check")
			p.ask(ack("example", "1001", 1))
			p.ask(ack("example", "1001", 2))
			p.ask(ack("example", "1001", 2))
			p.get(1)
			p.wantException(serverException, "ack error , clientId:1001 batchId:2 is not exist , please check")
			p.get(1)
			p.wantEmpty()
		}},
		{"deferred error, request not executed", server.Config{}, func(t *testing.T, s *setup) {
			p := s.subscribed(t)
			s.w.put("example", "a")
			p.ask(ack("example", "1001", 5))
			p.wantAlive()
			p.get(1)
			p.exception()
			if n := s.w.batches("example", 1001); n != 0 {
				t.Errorf("%d batches were handed out behind the client's back", n)
			}
			p.get(1)
			p.wantBatch(1, "a")
		}},
		{"ack of 0", server.Config{}, func(t *testing.T, s *setup) {
			p := s.subscribed(t)
			p.ask(ack("example", "no number", 0))
			p.get(1)
			p.wantError(402, "batchId should assign value. Ack: destination: \"example\"\nclient_id: \"no number\"\n")
		}},
		{"ack of -1", server.Config{}, func(t *testing.T, s *setup) {
			p := s.subscribed(t)
			p.ask(ack("nowhere", "no number", -1))
			p.get(1)
			p.wantEmpty()
		}},
		{"rollback with younger batches", server.Config{}, func(t *testing.T, s *setup) {
			p := s.subscribed(t)
			s.w.put("example", "a", "b")
			p.get(1)
			p.wantBatch(1, "a")
			p.get(1)
			p.wantBatch(2, "b")
			p.ask(rollback("example", "1001", 1))
			p.get(2)
			p.wantBatch(3, "a", "b")
			p.ask(ack("example", "1001", 3))
			p.get(1)
			p.wantEmpty()
		}},
		{"filter that does not compile", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.ask(sub("example", "1001", "("))
			p.wantException(serverException, `filter "(": missing closing )`)
			if f := s.w.filter("example"); f != "" {
				t.Errorf("filter %q was stored", f)
			}
			p.wantAlive()
		}},
		{"filter of blanks", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.ask(sub("example", "1001", "a.b"))
			p.wantOK()
			p.ask(sub("example", "1001", " \t "))
			p.wantOK()
			if f := s.w.filter("example"); f != "a.b" {
				t.Errorf("filter is %q", f)
			}
		}},
		{"long error text", server.Config{}, func(t *testing.T, s *setup) {
			p := s.login(t)
			p.ask(sub(long, "1001", ""))
			b := p.read()
			if len(b) > 8192+20 || len(b) < 8000 || !bytes.HasSuffix(b, []byte("é\n")) {
				t.Errorf("answer has %d bytes and ends in %q", len(b), b[len(b)-4:])
			}
			p.ask(sub("", "1001", long))
			if b := p.read(); len(b) > 8192+20 {
				t.Errorf("answer has %d bytes", len(b))
			}
		}},
		{"peer never reads", quick(server.Config{PreAuthTimeout: time.Minute}), func(t *testing.T, s *setup) {
			p := s.subscribed(t)
			s.w.put("example", strings.Repeat("x", 24<<20))
			p.get(1)
			eventually(t, s.w, "release of the batch", func() bool { return s.w.batches("example", 1001) == 1 && s.w.unreleased() == 0 })
			if b, _ := packet.ReadFrame(p.nc, 1<<30); b != nil {
				t.Error("the whole batch arrived")
			}
		}},
		{"half-close during get", server.Config{}, func(t *testing.T, s *setup) {
			p := s.subscribed(t)
			p.ask(get("example", "1001", 1, 0))
			p.ask(rollback("example", "1001", 0))
			p.nc.CloseWrite()
			p.wantClosed()
			s.w.put("example", "a")
			if n := s.w.batches("example", 1001); n != 0 {
				t.Errorf("%d batches made for a peer that is gone", n)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, c.cfg, newWorld("example"), nil)
			c.run(t, s)
			good := s.dial(t)
			good.ask(&packet.ClientAuth{Username: "canal", Password: packet.Token("canal", good.seed)})
			good.wantOK()
			good.wantAlive()
		})
	}
}
