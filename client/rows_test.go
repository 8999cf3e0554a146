package client_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
)

func TestChanges(t *testing.T) {
	column := func(name, value string) *canalpb.Column {
		return &canalpb.Column{Name: new(name), Value: new(value), IsNull: new(false)}
	}
	rc := &canalpb.RowChange{EventType: canalpb.EventType_UPDATE.Enum(), RowDatas: []*canalpb.RowData{{
		BeforeColumns: []*canalpb.Column{column("id", "7")},
		AfterColumns: []*canalpb.Column{
			column("id", "-7"), column("f", "1.5E3"), column("d", "2024-02-29"), column("t", "2024-02-29 01:02:03.25"), column("b", "a\u00ff\u0000"), column("x", "中"),
			{Name: new("n"), IsNull: new(true)},
		},
	}}}
	body, err := proto.Marshal(rc)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(&canalpb.Entry{
		Header:    &canalpb.Header{SchemaName: new("shop"), TableName: new("orders"), ExecuteTime: new(int64(1500)), LogfileName: new("f"), LogfileOffset: new(int64(4)), Gtid: new("0-1-2")},
		EntryType: canalpb.EntryType_ROWDATA.Enum(), StoreValue: body,
	})
	if err != nil {
		t.Fatal(err)
	}
	end, err := proto.Marshal(&canalpb.Entry{EntryType: canalpb.EntryType_TRANSACTIONEND.Enum()})
	if err != nil {
		t.Fatal(err)
	}
	changes, err := (&client.Message{ID: 1, Raw: [][]byte{raw, end}}).Changes()
	if err != nil || len(changes) != 1 {
		t.Fatal(changes, err)
	}
	c := changes[0]
	if c.Schema != "shop" || c.Table != "orders" || c.Kind != canalpb.EventType_UPDATE || c.Time.UnixMilli() != 1500 || c.File != "f" || c.Offset != 4 || c.GTID != "0-1-2" || len(c.Rows) != 1 {
		t.Errorf("%+v", c)
	}
	after := c.Rows[0].After
	if v, err := after.Int("id"); v != -7 || err != nil {
		t.Error(v, err)
	}
	if v, err := c.Rows[0].Before.Int("id"); v != 7 || err != nil {
		t.Error(v, err)
	}
	if v, err := after.Float("f"); v != 1500 || err != nil {
		t.Error(v, err)
	}
	if v, err := after.Time("d", time.UTC); err != nil || !v.Equal(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)) {
		t.Error(v, err)
	}
	if v, err := after.Time("t", time.UTC); err != nil || !v.Equal(time.Date(2024, 2, 29, 1, 2, 3, 250e6, time.UTC)) {
		t.Error(v, err)
	}
	if v, err := after.Bytes("b"); err != nil || !bytes.Equal(v, []byte{'a', 0xff, 0}) {
		t.Error(v, err)
	}
	for name, f := range map[string]func() error{
		"text as bytes": func() error { _, err := after.Bytes("x"); return err },
		"text as int":   func() error { _, err := after.Int("x"); return err },
		"text as float": func() error { _, err := after.Float("x"); return err },
		"text as time":  func() error { _, err := after.Time("x", time.UTC); return err },
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := after.Text("n"); !errors.Is(err, client.ErrNull) {
		t.Error(err)
	}
	if _, err := after.Int("none"); !errors.Is(err, client.ErrNoColumn) {
		t.Error(err)
	}
	if _, err := (&client.Message{ID: 1, Raw: [][]byte{{0xff}}}).Changes(); err == nil {
		t.Error("no error of what is no entry")
	}
}
