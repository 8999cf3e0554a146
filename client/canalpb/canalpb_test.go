package canalpb_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A row entry as the Java server writes it: zero values that were set are there.
const rowEntry = `0a 35 08 01 12 10 6d 79 73 71 6c 2d 62 69 6e 2e 30 30 30 30 30 31 18 68 20 01 2a 05 55 54 46
2d 38 30 e8 d7 95 ff bc 31 38 02 42 04 74 65 73 74 4a 01 74 50 32 58 01 10 02 1a 20 08 01 10 01
50 00 62 18 12 16 08 00 10 04 1a 02 69 64 20 01 28 01 30 00 42 01 31 52 03 69 6e 74`

func TestRowEntryKeepsZeroValues(t *testing.T) {
	raw := unhex(t, rowEntry)
	var e canalpb.Entry
	if err := proto.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	h := e.GetHeader()
	if h.GetSchemaName() != "test" || h.GetTableName() != "t" || h.GetEventType() != canalpb.EventType_INSERT || h.GetLogfileOffset() != 104 {
		t.Errorf("header: %v", h)
	}
	var rc canalpb.RowChange
	if err := proto.Unmarshal(e.GetStoreValue(), &rc); err != nil {
		t.Fatal(err)
	}
	c := rc.GetRowDatas()[0].GetAfterColumns()[0]
	if c.Index == nil || c.IsNull == nil || rc.IsDdl == nil {
		t.Errorf("a zero value that was sent reads as absent: %v", &rc)
	}
	if c.GetValue() != "1" || c.GetMysqlType() != "int" || !c.GetIsKey() || !c.GetUpdated() {
		t.Errorf("column: %v", c)
	}
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(&rc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(value, e.GetStoreValue()) {
		t.Errorf("row change encodes as %x, want %x", value, e.GetStoreValue())
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(&e)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, raw) {
		t.Errorf("entry encodes as %x, want %x", again, raw)
	}
}

func TestAbsentFieldsReadAsJavaDefaults(t *testing.T) {
	var e canalpb.Entry
	var h canalpb.Header
	if e.GetEntryType() != canalpb.EntryType_ROWDATA || h.GetEventType() != canalpb.EventType_UPDATE ||
		h.GetSourceType() != canalpb.Type_MYSQL || h.GetVersion() != 1 {
		t.Errorf("defaults: %v %v %v %v", e.GetEntryType(), h.GetEventType(), h.GetSourceType(), h.GetVersion())
	}
}
