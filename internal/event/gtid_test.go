package event_test

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/canald/canald/internal/event"
)

func TestGTID(t *testing.T) {
	uuid := make([]byte, 16)
	uuid[0], uuid[15] = 0x08, 0xff
	body := append(append([]byte{1}, uuid...), 7, 0, 0, 0, 0, 0, 0, 0)
	g, err := event.ParseGTID(whole(event.TypeGTID, body), event.TypeGTID)
	if err != nil || g.Number != 7 || g.UUID != [16]byte(uuid) || g.LastCommitted != 0 || g.SequenceNumber != 0 {
		t.Errorf("%+v, %v", g, err)
	}
	body = binary.LittleEndian.AppendUint64(append(body, 2), 11)
	body = binary.LittleEndian.AppendUint64(body, 12)
	if g, err = event.ParseGTID(whole(event.TypeGTID, body), event.TypeGTID); err != nil || g.LastCommitted != 11 || g.SequenceNumber != 12 {
		t.Errorf("%+v, %v", g, err)
	}
	for n := range 25 {
		if _, err := event.ParseGTID(whole(event.TypeGTID, body[:n]), event.TypeGTID); err == nil {
			t.Errorf("%d bytes are enough", n)
		}
	}
	body[17] = 0
	if _, err := event.ParseGTID(whole(event.TypeGTID, body), event.TypeGTID); err == nil {
		t.Error("the number 0")
	}
}

// A number takes as many bytes as its first one says.
func TestTaggedGTID(t *testing.T) {
	// Version 1, size, last known field; flags; a uuid whose bytes above 127 take
	// two; number 300; tag "ab"; two numbers of commits; a field that is not read.
	raw, err := hex.DecodeString("02" + "50" + "00" + "0002" + "02" + "fd03" + "02" + "04060a0c0e10121416181a1c1e20" + "04" + "6109" + "06" + "04" + "6162" + "08" + "14" + "0a" + "18" + "0c" + "07")
	if err != nil {
		t.Fatal(err)
	}
	g, err := event.ParseGTID(whole(event.TypeGTIDTagged, raw), event.TypeGTIDTagged)
	if err != nil || g.Number != 300 || g.Tag != "ab" || g.LastCommitted != 5 || g.SequenceNumber != 6 || g.UUID[0] != 0xff || g.UUID[1] != 1 || g.UUID[15] != 0x10 {
		t.Errorf("%+v, %v", g, err)
	}
	for n := range 28 {
		if g, err := event.ParseGTID(whole(event.TypeGTIDTagged, raw[:n]), event.TypeGTIDTagged); err == nil && g.Tag == "ab" {
			t.Errorf("%d bytes are enough: %+v", n, g)
		}
	}
}

func TestMariaGTIDs(t *testing.T) {
	body := []byte{9, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0}
	g, err := event.ParseMariaGTID(event.Header{ServerID: 5}, whole(event.TypeMariaGTID, body))
	if err != nil || g != (event.MariaGTID{Domain: 3, Server: 5, Sequence: 9}) {
		t.Errorf("%+v, %v", g, err)
	}
	if _, err := event.ParseMariaGTID(event.Header{}, whole(event.TypeMariaGTID, body[:11])); err == nil {
		t.Error("a part is enough")
	}
	list := []byte{2, 0, 0, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0}
	all, err := event.ParseMariaGTIDList(whole(event.TypeMariaGTIDList, list))
	if err != nil || len(all) != 2 || all[0] != (event.MariaGTID{Domain: 0, Server: 1, Sequence: 5}) || all[1] != (event.MariaGTID{Domain: 1, Server: 2, Sequence: 7}) {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := event.ParseMariaGTIDList(whole(event.TypeMariaGTIDList, list[:20])); err == nil {
		t.Error("a part is enough")
	}
}

func FuzzGTID(f *testing.F) {
	seed(f, event.TypeGTID)
	f.Add(whole(event.TypeGTIDTagged, []byte{2, 0x50, 0, 0, 2, 2, 0xfd, 3, 2, 4}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, typ := range []event.Type{event.TypeGTID, event.TypeGTIDTagged} {
			if g, err := event.ParseGTID(b, typ); err == nil && (g.Number < 1 || len(g.Tag) > len(b)) {
				t.Errorf("%+v", g)
			}
		}
		if list, err := event.ParseMariaGTIDList(b); err == nil && 16*len(list) > len(b) {
			t.Errorf("%d of %d bytes", len(list), len(b))
		}
		_, _ = event.ParseMariaGTID(event.Header{}, b)
	})
}
