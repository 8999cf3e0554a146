package event_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/canald/canald/internal/event"
)

// describe writes what the parsers make of an event, one line.
func describe(t *testing.T, out *strings.Builder, b []byte) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Errorf("type %d: %v", b[4], err)
		}
	}
	h, err := event.ParseHeader(b)
	check(err)
	if kind, version, _ := h.Type.Rows(); kind != event.NotRows {
		r, err := event.ParseRowsHeader(b, version, kind == event.Update)
		check(err)
		fmt.Fprintf(out, "rows %d/%d %d flags %d columns %d before %x after %x images %x\n", kind, version, r.TableID, r.Flags, r.Columns, r.Before, r.After, b[r.Images:])
		id, flags, ok := event.RowsTableID(b)
		if id != r.TableID || flags != r.Flags || !ok {
			t.Errorf("table id %d flags %d", id, flags)
		}
		return
	}
	switch h.Type {
	case event.TypeFormatDescription:
		f, err := event.ParseFormat(b)
		check(err)
		fmt.Fprintf(out, "format %s checksum %d\n", f.ServerVersion, f.Checksum)
	case event.TypeQuery:
		q, err := event.ParseQuery(b)
		check(err)
		fmt.Fprintf(out, "query %s %q thread %d\n", q.Schema, q.SQL, q.ThreadID)
	case event.TypeTableMap:
		m, err := event.ParseTableMap(b)
		check(err)
		fmt.Fprintf(out, "map %d %s.%s", m.TableID, m.Schema, m.Table)
		for _, c := range m.Columns {
			fmt.Fprintf(out, " %d/%d", c.Type, c.Meta)
		}
		fmt.Fprintf(out, " optional %x\n", m.Optional)
	case event.TypeXID:
		xid, err := event.ParseXID(b)
		check(err)
		fmt.Fprintf(out, "xid %d\n", xid)
	case event.TypeMariaAnnotateRows:
		fmt.Fprintf(out, "annotate %q\n", event.AnnotateText(b))
	}
}
