package golden

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/test/harness"
)

// event is one line of the source's own list of what a binlog file holds.
type event struct {
	position, end int64
	kind, info    string
	serverID      int64
}

// binlog is the newest binlog file.
type binlog struct {
	file   string
	events []event
}

var (
	tableID  = regexp.MustCompile(`table_id: (\d+)`)
	xid      = regexp.MustCompile(`xid=(\d+)`)
	rowEvent = regexp.MustCompile(`^(Write|Update|Delete)_rows`)
)

// readBinlog reads the server's newest binlog file, without the mark at its end.
func readBinlog(t testing.TB, s *harness.Server) binlog {
	t.Helper()
	conn, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	files, err := conn.Execute("SHOW BINARY LOGS")
	if err != nil {
		t.Fatal(err)
	}
	b := binlog{}
	b.file, _ = files.GetString(files.RowNumber()-1, 0)
	r, err := conn.Execute("SHOW BINLOG EVENTS IN '" + b.file + "'")
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.RowNumber() {
		var e event
		e.position, _ = r.GetInt(i, 1)
		e.kind, _ = r.GetString(i, 2)
		e.serverID, _ = r.GetInt(i, 3)
		e.end, _ = r.GetInt(i, 4)
		e.info, _ = r.GetString(i, 5)
		if strings.Contains(e.info, "(golden_mark.mark)") {
			break
		}
		b.events = append(b.events, e)
	}
	return b
}

// checkSource compares what a recording cannot tell with the source: where an
// entry was read, how long its event is, ids and times; and that there is an
// entry for each row event.
func checkSource(t *testing.T, b binlog, got []entry, session uint32, began, ended time.Time) {
	t.Helper()
	wrong := 0
	report := func(i int, what string, got, want any) {
		if wrong++; wrong <= shownDifferences {
			t.Errorf("entry %d %s: got %v, the source has %v", i, what, got, want)
		}
	}
	at := map[int64][]event{}
	rows, rowEntries := 0, 0
	for _, e := range b.events {
		at[e.position] = append(at[e.position], e)
		if rowEvent.MatchString(e.kind) {
			rows++
		}
	}
	for i, e := range got {
		if len(e.rows()) > 0 {
			rowEntries++
		}
		if file := e.text("header", "logfileName"); file != b.file {
			report(i, "file", file, b.file)
		}
		here := at[e.number("header", "logfileOffset")]
		if len(here) == 0 {
			report(i, "offset", e.number("header", "logfileOffset"), "no event there")
			continue
		}
		if length := e.number("header", "eventLength"); length != here[0].end-here[0].position {
			report(i, "length", length, here[0].end-here[0].position)
		}
		if id := e.number("header", "serverId"); id != here[0].serverID {
			report(i, "server id", id, here[0].serverID)
		}
		when := e.number("header", "executeTime")
		if when%1000 != 0 || when < began.Add(-time.Second).UnixMilli() || when > ended.UnixMilli() {
			report(i, "time", when, began)
		}
		if id, ok := e.at("transactionBegin", "threadId").(int64); ok && id != int64(session) {
			report(i, "thread", id, session)
		}
		if here[0].kind == "Transaction_payload" {
			here = b.events // the events inside are listed behind it
		}
		checkIDs(here, e, func(what string, got, want any) { report(i, what, got, want) })
	}
	if rowEntries != rows {
		t.Errorf("%d entries with rows, the source has %d row events", rowEntries, rows)
	}
	if wrong > shownDifferences {
		t.Errorf("%d differences from the source", wrong)
	}
}

// checkIDs compares the ids that the source prints with an event.
func checkIDs(here []event, e entry, report func(what string, got, want any)) {
	var tables, xids []string
	for _, s := range here {
		if m := tableID.FindStringSubmatch(s.info); m != nil {
			tables = append(tables, m[1])
		}
		if m := xid.FindStringSubmatch(s.info); m != nil {
			xids = append(xids, m[1])
		}
	}
	if id, ok := e.at("rowChange", "tableId").(int64); ok && !slices.Contains(tables, strconv.FormatInt(id, 10)) {
		report("table id", id, tables)
	}
	if id := e.text("transactionEnd", "transactionId"); id != "" && id != "0" && !slices.Contains(xids, id) {
		report("transaction id", id, xids)
	}
}
