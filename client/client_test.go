package client_test

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/server"
	"github.com/canald/canald/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stream is one client's view of a destination that hands out one entry a batch.
type stream struct {
	mu          sync.Mutex
	subscribed  bool
	filter      string
	entries     [][]byte
	acked, read int
	calls       []string
	late        time.Duration // of the answer to a get
}

func (s *stream) note(call string) { s.calls = append(s.calls, call) }

func (s *stream) Subscribe(_ context.Context, filter string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if filter == "(" {
		return errors.New("filter does not compile")
	}
	s.note("subscribe")
	s.subscribed, s.filter = true, filter
	return nil
}

func (s *stream) Unsubscribe(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note("unsubscribe")
	s.subscribed = false
	return nil
}

func (s *stream) Get(ctx context.Context, _ int, wait time.Duration) (*store.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.subscribed {
		return nil, meta.ErrNotSubscribed
	}
	if s.read < len(s.entries) {
		item := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), s.entries[s.read])
		s.read++
		return store.NewBatch(int64(s.read), [][]byte{item}, 1, nil), nil
	}
	s.note("get " + wait.String())
	if s.late > 0 {
		select {
		case <-time.After(s.late):
		case <-ctx.Done():
		}
	}
	if wait == server.Forever {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return nil, ctx.Err()
	}
	return store.NewBatch(store.NoBatch, nil, 0, nil), nil
}

func (s *stream) Ack(id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case id > int64(s.read) || id <= int64(s.acked):
		return store.ErrUnknownBatch
	case id != int64(s.acked)+1:
		return &store.NotFirstError{ID: id, First: int64(s.acked) + 1}
	}
	s.acked++
	return nil
}

func (s *stream) Rollback(int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note("rollback")
	s.read = s.acked
	return nil
}

func serve(t *testing.T, s *stream) client.Options {
	t.Helper()
	srv := server.New(server.Config{
		Addr: "127.0.0.1:0", User: "canal", PasswordHash: "e3619321c1a937c46a0d8bd1dac39f93b27d4458",
	}, func(d string, id meta.ClientID) (server.Session, error) {
		if d != "example" || id != 1001 {
			return nil, server.ErrNotRunning
		}
		return s, nil
	}, zap.NewNop(), nil)
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return client.Options{Addr: srv.Addr().String(), Destination: "example", User: "canal", Password: "canal"}
}

func TestConsume(t *testing.T) {
	want := &canalpb.Entry{
		Header: &canalpb.Header{TableName: new("t"), EventType: canalpb.EventType_DELETE.Enum()}, StoreValue: []byte{0},
	}
	raw, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{entries: [][]byte{raw, raw}}
	ctx := t.Context()
	c, err := client.Dial(ctx, serve(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := errors.Join(c.Rollback(ctx, 0), c.Subscribe(ctx, "shop\\..*")); err != nil {
		t.Fatal(err)
	}
	for id := int64(1); id <= 2; id++ {
		m, err := c.GetWithoutAck(ctx, 1000, 0)
		if err != nil || m.ID != id {
			t.Fatalf("batch %+v, error %v", m, err)
		}
		entries, err := m.Decode()
		if err != nil || len(entries) != 1 || !proto.Equal(entries[0], want) {
			t.Fatalf("entries %v, error %v", entries, err)
		}
		if err := c.Ack(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	for _, wait := range []time.Duration{0, 5 * time.Millisecond, 5*time.Millisecond + 1} {
		if m, err := c.GetWithoutAck(ctx, 1, wait); err != nil || m.ID != client.NoBatch || len(m.Raw) != 0 {
			t.Fatalf("batch %+v, error %v", m, err)
		}
	}
	if err := c.Unsubscribe(ctx); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if calls := []string{"rollback", "subscribe", "get 0s", "get 5ms", "get 6ms", "unsubscribe"}; !slices.Equal(s.calls, calls) || s.acked != 2 || s.filter != `shop\..*` {
		t.Errorf("server saw %q, %d acks, filter %q", s.calls, s.acked, s.filter)
	}
}

func TestRefusals(t *testing.T) {
	ctx := t.Context()
	o := serve(t, &stream{})
	wrong := o
	wrong.Password = "other"
	var refused *client.ServerError
	if _, err := client.Dial(ctx, wrong); !errors.As(err, &refused) || refused.Code != 400 || refused.Message != "auth failed for user:canal" {
		t.Errorf("wrong password gives %v", err)
	}
	c, err := client.Dial(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, call := range map[string]func() error{
		"should subscribe first":  func() error { _, err := c.GetWithoutAck(ctx, 1, 0); return err },
		"filter does not compile": func() error { return c.Subscribe(ctx, "(") },
		"batchId:7 is not exist":  func() error { return errors.Join(c.Ack(ctx, 7), c.Subscribe(ctx, "")) },
	} {
		if err := call(); !errors.As(err, &refused) || !strings.Contains(refused.Message, name) {
			t.Errorf("error %v, want %q", err, name)
		}
	}
	if err := c.Subscribe(ctx, ""); err != nil {
		t.Errorf("the connection is of no use after a refusal: %v", err)
	}
	other := o
	other.ClientID = -3
	d, err := client.Dial(ctx, other)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Subscribe(ctx, ""); !errors.As(err, &refused) || !strings.Contains(refused.Message, "destination:example should start first") {
		t.Errorf("error %v", err)
	}
}

func TestContextEndsACall(t *testing.T) {
	s := &stream{}
	c, err := client.Dial(t.Context(), serve(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Subscribe(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.GetWithoutAck(ctx, 1, client.Forever); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get gives %v", err)
	}
	if err := c.Subscribe(t.Context(), ""); !errors.Is(err, client.ErrClosed) {
		t.Errorf("the next call gives %v", err)
	}
}

// A server that says nothing is not waited for without end, though a get's own wait
// is.
func TestAnswerTimeout(t *testing.T) {
	s := &stream{late: 200 * time.Millisecond}
	o := serve(t, s)
	o.AnswerTimeout = 100 * time.Millisecond
	c, err := client.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Subscribe(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if m, err := c.GetWithoutAck(t.Context(), 1, 5*time.Second); err != nil || m.ID != client.NoBatch {
		t.Errorf("a get that may wait gives %v", err)
	}
	if _, err := c.GetWithoutAck(t.Context(), 1, 0); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("a get that may not wait gives %v", err)
	}
	if err := c.Ack(t.Context(), 1); !errors.Is(err, client.ErrClosed) {
		t.Errorf("the next call gives %v", err)
	}
}

func TestDialRefusesWhatIsNoServer(t *testing.T) {
	for name, greeting := range map[string]string{
		"other protocol":        "HTTP/1.1 400 Bad Request\r\n\r\n",
		"handshake unversioned": "\x00\x00\x00\x0e\x18\x01\x2a\x0a\x12\x08\x01\x02\x03\x04\x05\x06\x07\x08",
		"ack first":             "\x00\x00\x00\x04\x10\x01\x18\x03",
		"nothing":               "",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				if nc, err := l.Accept(); err == nil {
					nc.Write([]byte(greeting))
					nc.Close()
				}
			}()
			c, err := client.Dial(t.Context(), client.Options{Addr: l.Addr().String(), Destination: "example"})
			if err == nil {
				c.Close()
				t.Fatal("accepted")
			}
		})
	}
	if _, err := client.Dial(t.Context(), client.Options{Addr: "127.0.0.1:1"}); err == nil {
		t.Error("accepted without a destination")
	}
}
