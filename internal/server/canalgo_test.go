package server_test

import (
	"net"
	"strconv"
	"testing"

	canalgo "github.com/withlin/canal-go/client"
	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/server"
)

// An unmodified canal-go consumes, rolls back and acks. It panics on any error
// answered to a get and loses bytes of a second frame, so a step out of line
// shows here.
func TestCanalGo(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Config{User: "canal", PasswordHash: canalHash}, newWorld("example"), nil)
	entry, err := proto.Marshal(&canalpb.Entry{
		Header:    &canalpb.Header{Version: proto.Int32(1), SchemaName: new("shop"), EventType: canalpb.EventType_INSERT.Enum()},
		EntryType: canalpb.EntryType_ROWDATA.Enum(), StoreValue: []byte("row"),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.w.put("example", string(entry), string(entry))
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	c := canalgo.NewSimpleCanalConnector(host, n, "canal", "canal", "example", 60000, 60*60*1000)
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe(`.*\..*`); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		m, err := c.GetWithOutAck(100, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if m.Id != int64(round+1) || len(m.Entries) != 2 || m.Entries[1].GetHeader().GetSchemaName() != "shop" || string(m.Entries[1].GetStoreValue()) != "row" {
			t.Fatalf("round %d: batch %d with %d entries", round, m.Id, len(m.Entries))
		}
		if err := c.RollBack(m.Id); err != nil {
			t.Fatal(err)
		}
	}
	m, err := c.Get(100, nil, nil) // acks
	if err != nil || m.Id != 4 {
		t.Fatalf("batch %v, error %v", m, err)
	}
	m, err = c.Get(100, nil, nil) // acks -1
	if err != nil || m.Id != -1 {
		t.Fatalf("batch %v, error %v", m, err)
	}
	if err := c.DisConnection(); err != nil {
		t.Fatal(err)
	}
	if n := s.w.batches("example", 1001); n != 0 {
		t.Errorf("%d batches are outstanding", n)
	}
}
