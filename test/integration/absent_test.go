package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

// A client that is away while the store is full is detached, so that the other
// goes on. When it returns it gets the rest once, and the other nothing again.
func TestAbsentClient(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "absent1", 4501)
		sc.exec(idTable)
		sc.config.Store.Slots = 256
		sc.config.AbsentAfter = 200 * time.Millisecond
		sc.begin("")
		other := connect(t, sc.c, sc.name, 1002)
		sc.insertIDs(1, 20)
		sc.mark()
		sameIDs(t, "1002 before", idsOf(t, entriesBefore(t, other, sc.name, sc.marks)), upTo(1, 20))
		sc.insertIDs(21, 1000)
		sameIDs(t, "1001", idsOf(t, sc.entries()), upTo(1, 1000))
		last := sc.marks
		sameIDs(t, "1002 after", idsOf(t, entriesBefore(t, other, sc.name, last)), upTo(21, 1000))
		sc.insertIDs(1001, 1003)
		sameIDs(t, "1001 in the end", idsOf(t, sc.entries()), upTo(1001, 1003))
		sameIDs(t, "1002 in the end", idsOf(t, entriesBefore(t, other, sc.name, sc.marks)), upTo(1001, 1003))
	})
}

// What meta.dat holds after an orderly end is the last transaction end that was
// acknowledged, in the form that Canal reads.
func TestMetaFile(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "meta1", 4502)
		sc.exec(idTable)
		dir := t.TempDir()
		sc.begin(dir)
		sc.insertIDs(1, 3)
		var end *canalpb.Header
		rows := 0
		drain(t, sc.conn, func(e *canalpb.Entry) bool {
			if e.GetEntryType() == canalpb.EntryType_TRANSACTIONEND {
				end = e.GetHeader()
			}
			if e.GetEntryType() == canalpb.EntryType_ROWDATA && e.GetHeader().GetTableName() == "t" {
				rows++
			}
			return rows == 3 && e.GetEntryType() == canalpb.EntryType_TRANSACTIONEND
		})
		if err := sc.conn.Subscribe(t.Context(), ""); err != nil { // its answer comes behind the ack
			t.Fatal(err)
		}
		sc.c.stop()
		text, err := os.ReadFile(filepath.Join(dir, "meta1", "meta.dat"))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Destination string `json:"destination"`
			ClientDatas []struct {
				ClientIdentity struct {
					ClientID    int    `json:"clientId"`
					Destination string `json:"destination"`
				} `json:"clientIdentity"`
				Cursor struct {
					Identity struct {
						SourceAddress struct {
							Address string `json:"address"`
							Port    int    `json:"port"`
						} `json:"sourceAddress"`
					} `json:"identity"`
					Postion struct {
						JournalName string `json:"journalName"`
						Position    int64  `json:"position"`
						Included    bool   `json:"included"`
						Timestamp   int64  `json:"timestamp"`
					} `json:"postion"`
				} `json:"cursor"`
			} `json:"clientDatas"`
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if doc.Destination != "meta1" || len(doc.ClientDatas) != 1 {
			t.Fatalf("got %s", text)
		}
		c := doc.ClientDatas[0]
		p := c.Cursor.Postion
		if c.ClientIdentity.ClientID != 1001 || c.Cursor.Identity.SourceAddress.Port != s.Port ||
			p.JournalName != end.GetLogfileName() || p.Position != end.GetLogfileOffset() || p.Included || p.Timestamp != end.GetExecuteTime() {
			t.Errorf("want %s at %d in %s", end.GetLogfileName(), end.GetLogfileOffset(), text)
		}
	})
}
