package harness_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/withlin/canal-go/protocol/packet"
	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

// scriptedServer is a Canal server that has one batch for each client. It
// refuses the user "nobody", and gives the batch again after a rollback.
type scriptedServer struct {
	host, port string
	seen       chan string // what clients sent that has no reply
}

func startScriptedServer(t *testing.T) *scriptedServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scriptedServer{seen: make(chan string, 100)}
	s.host, s.port, _ = net.SplitHostPort(listener.Addr().String())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			// An error is the client's going away.
			_ = s.serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return s
}

func (s *scriptedServer) serve(conn net.Conn) error {
	const batchID = 7
	if err := send(conn, packet.PacketType_HANDSHAKE, &packet.Handshake{Seeds: []byte("12345678")}); err != nil {
		return err
	}
	handedOut := false
	for {
		request, err := receive(conn)
		if err != nil {
			return err
		}
		switch request.Type {
		case packet.PacketType_CLIENTAUTHENTICATION:
			var auth packet.ClientAuth
			ack := &packet.Ack{}
			if err := proto.Unmarshal(request.Body, &auth); err != nil {
				return err
			}
			if auth.Username == "nobody" {
				ack.ErrorCodePresent = &packet.Ack_ErrorCode{ErrorCode: 400}
				ack.ErrorMessage = "no such user"
			}
			err = send(conn, packet.PacketType_ACK, ack)
		case packet.PacketType_SUBSCRIPTION, packet.PacketType_UNSUBSCRIPTION:
			var sub packet.Sub
			if err := proto.Unmarshal(request.Body, &sub); err != nil {
				return err
			}
			s.seen <- fmt.Sprintf("%s %s %s", request.Type, sub.Destination, sub.Filter)
			err = send(conn, packet.PacketType_ACK, &packet.Ack{})
		case packet.PacketType_GET:
			messages := &packet.Messages{BatchId: -1}
			if !handedOut {
				messages.BatchId = batchID
				messages.Messages = batch()
			}
			handedOut = true
			err = send(conn, packet.PacketType_MESSAGES, messages)
		case packet.PacketType_CLIENTACK:
			var ack packet.ClientAck
			if err := proto.Unmarshal(request.Body, &ack); err != nil {
				return err
			}
			s.seen <- fmt.Sprintf("ack %d", ack.BatchId)
		case packet.PacketType_CLIENTROLLBACK:
			handedOut = false
		default:
			return fmt.Errorf("unexpected packet %s", request.Type)
		}
		if err != nil {
			return err
		}
	}
}

func send(w io.Writer, kind packet.PacketType, message proto.Message) error {
	body, err := proto.Marshal(message)
	if err != nil {
		return err
	}
	frame, err := proto.Marshal(&packet.Packet{
		Type: kind, Body: body,
		VersionPresent:     &packet.Packet_Version{Version: 1},
		CompressionPresent: &packet.Packet_Compression{Compression: packet.Compression_NONE},
	})
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	return err
}

func receive(r io.Reader) (*packet.Packet, error) {
	var size uint32
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return nil, err
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	p := &packet.Packet{}
	return p, proto.Unmarshal(frame, p)
}

// batch is a transaction with one update.
func batch() [][]byte {
	header := func(kind canalpb.EventType, schema, table string) *canalpb.Header {
		return &canalpb.Header{
			Version: proto.Int32(1), LogfileName: new("mysql-bin.000003"), LogfileOffset: proto.Int64(4567),
			ServerId: proto.Int64(42), ServerenCode: new("UTF-8"), ExecuteTime: proto.Int64(1700000000000),
			SchemaName: new(schema), TableName: new(table), EventLength: proto.Int64(88),
			EventType: kind.Enum(), Gtid: new("uuid:5"),
			Props: []*canalpb.Pair{{Key: new("rowsCount"), Value: new("1")}},
		}
	}
	column := func(value string, updated bool) []*canalpb.Column {
		return []*canalpb.Column{
			{
				Index: proto.Int32(0), Name: new("id"), Value: new("1"), IsKey: new(true),
				Updated: new(false), SqlType: proto.Int32(4), MysqlType: new("int"),
			},
			{
				Index: proto.Int32(1), Name: new("name"), Value: new(value), Updated: new(updated),
				SqlType: proto.Int32(12), MysqlType: new("varchar(20)"),
			},
			{Index: proto.Int32(2), Name: new("note"), IsNull: new(true)},
		}
	}
	var out [][]byte
	add := func(kind canalpb.EntryType, header *canalpb.Header, value proto.Message) {
		store, err := proto.Marshal(value)
		if err != nil {
			panic(err)
		}
		entry, err := proto.Marshal(&canalpb.Entry{Header: header, EntryType: kind.Enum(), StoreValue: store})
		if err != nil {
			panic(err)
		}
		out = append(out, entry)
	}
	add(canalpb.EntryType_TRANSACTIONBEGIN, header(canalpb.EventType_UPDATE, "", ""),
		&canalpb.TransactionBegin{ThreadId: proto.Int64(99)})
	add(canalpb.EntryType_ROWDATA, header(canalpb.EventType_UPDATE, "shop", "items"), &canalpb.RowChange{
		TableId: proto.Int64(120), EventType: canalpb.EventType_UPDATE.Enum(), IsDdl: new(false),
		RowDatas: []*canalpb.RowData{{BeforeColumns: column("old", false), AfterColumns: column("漢 \"x\"\n", true)}},
	})
	add(canalpb.EntryType_TRANSACTIONEND, header(canalpb.EventType_UPDATE, "", ""),
		&canalpb.TransactionEnd{TransactionId: new("12")})
	return out
}

func TestDrivers(t *testing.T) {
	for _, test := range []struct {
		name    string
		start   func(testing.TB) *harness.Driver
		emptyID int64
		unsub   string
	}{
		{name: "java", start: harness.JavaClient, emptyID: -1, unsub: "UNSUBSCRIPTION example "},
		{name: "python", start: harness.PythonClient, emptyID: 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := startScriptedServer(t)
			d := test.start(t)

			answer, err := d.Do(fmt.Sprintf("connect %s %s example nobody secret", server.host, server.port))
			if err == nil || !strings.Contains(answer.Error, "no such user") {
				t.Fatalf("a refused client answered %q, %v", answer.Error, err)
			}
			// The Java client stops for good on a refusal, so close is best effort.
			_, _ = d.Do("disconnect")

			d.Must(t, fmt.Sprintf("connect %s %s example canal secret", server.host, server.port))
			d.Must(t, `subscribe shop\..*`)
			if got, want := <-server.seen, `SUBSCRIPTION example shop\..*`; got != want {
				t.Errorf("server saw %q, want %q", got, want)
			}

			first := d.Must(t, "get 100")
			checkBatch(t, first)
			if empty := d.Must(t, "get 100 50"); empty.BatchID != test.emptyID || len(empty.Entries) != 0 {
				t.Errorf("an empty get answered %+v", empty)
			}
			d.Must(t, "rollback")
			checkBatch(t, d.Must(t, "get 100 50"))
			d.Must(t, "ack 7")
			if got := <-server.seen; got != "ack 7" {
				t.Errorf("server saw %q", got)
			}
			d.Must(t, "unsubscribe")
			if test.unsub != "" {
				if got := <-server.seen; !strings.HasPrefix(got, test.unsub) {
					t.Errorf("server saw %q, want %q", got, test.unsub)
				}
			}
			d.Must(t, "disconnect")

			if answer, err := d.Do("dance"); err == nil || !strings.Contains(answer.Error, "unknown command") {
				t.Errorf("a wrong command answered %q, %v", answer.Error, err)
			}
			d.Kill()
			if _, err := d.Do("get 1"); err == nil {
				t.Error("a killed client answers")
			}
		})
	}
}

func checkBatch(t *testing.T, a harness.Answer) {
	t.Helper()
	if a.BatchID != 7 || len(a.Entries) != 3 {
		t.Fatalf("batch is %+v", a)
	}
	begin, rows, end := a.Entries[0], a.Entries[1], a.Entries[2]
	if begin.EntryType != "TRANSACTIONBEGIN" || begin.ThreadID != 99 {
		t.Errorf("begin is %+v", begin)
	}
	if end.EntryType != "TRANSACTIONEND" || end.TransactionID != "12" {
		t.Errorf("end is %+v", end)
	}
	if rows.EntryType != "ROWDATA" || rows.EventType != "UPDATE" || rows.RowEventType != "UPDATE" ||
		rows.Schema != "shop" || rows.Table != "items" || rows.File != "mysql-bin.000003" || rows.Offset != 4567 ||
		rows.EventLength != 88 || rows.ExecuteTime != 1700000000000 || rows.ServerID != 42 || rows.Charset != "UTF-8" ||
		rows.GTID != "uuid:5" || rows.TableID != 120 || rows.IsDDL || rows.Props["rowsCount"] != "1" {
		t.Errorf("row entry is %+v", rows)
	}
	if len(rows.Rows) != 1 || len(rows.Rows[0].Before) != 3 || len(rows.Rows[0].After) != 3 {
		t.Fatalf("rows are %+v", rows.Rows)
	}
	id, name, note := rows.Rows[0].After[0], rows.Rows[0].After[1], rows.Rows[0].After[2]
	if !id.IsKey || id.Updated || id.SQLType != 4 || id.MySQLType != "int" || id.Value != "1" {
		t.Errorf("id is %+v", id)
	}
	if name.Index != 1 || name.Name != "name" || !name.Updated || name.Value != "漢 \"x\"\n" || name.SQLType != 12 {
		t.Errorf("name is %+v", name)
	}
	if !note.IsNull || note.Value != "" {
		t.Errorf("note is %+v", note)
	}
	if got := rows.Rows[0].Before[1].Value; got != "old" {
		t.Errorf("name was %q", got)
	}
}
