package truth

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	mysql "github.com/go-mysql-org/go-mysql/client"
	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

const (
	destination = "truth"
	fetchSize   = 4 << 10 // KiB
	// How long nothing may come before canald counts as stopped. It tries again
	// with growing pauses of at least a second.
	quietLimit = 5 * time.Second
	// While a script is made smaller a wrong verdict costs little.
	reduceQuietLimit = 1800 * time.Millisecond
	// More than canald can repeat after a kill.
	keptEntries = 20000
)

// kind tells what a line of a script is.
type kind int

const (
	dml    kind = iota // rows, transaction control, settings of the session
	ddl                // changes structures, ends a transaction
	quiet              // like ddl, but no table changes
	action             // not for the server, see the constants
)

// Actions of a script.
const (
	actionDrain  = "-- drain"
	actionStop   = "-- stop canald"
	actionKill   = "-- kill canald"
	actionStart  = "-- start canald"
	actionPause  = "-- pause canald"
	actionResume = "-- resume canald"
)

// line is one line of a script.
type line struct {
	sql  string
	kind kind
}

// world is a server, the canald that follows it, and the client of both.
type world struct {
	t       *testing.T
	s       *harness.Server
	c       *harness.Canald
	look    *mysql.Conn // reads what is true
	conn    *client.Conn
	marks   int
	running bool
	paused  bool
	quiet   time.Duration
	known   map[string]bool // classes of failures that were made small

	counts struct{ statements, refused, structures, transactions, entries int }

	stream  []*canalpb.Entry // all that came; a killed canald may repeat a part
	base    int              // where in it the present script begins
	expect  []*canalpb.Entry // what must come again after a rollback
	repeats *repeats         // after a start
	random  *rand.Rand       // of rollbacks
}

func newWorld(t *testing.T, v harness.Version) *world {
	t.Helper()
	w := &world{t: t, s: harness.Shared(t, v), quiet: quietLimit, known: map[string]bool{}, random: rand.New(rand.NewPCG(1, 1))}
	look, err := w.s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = look.Close() })
	w.look = look
	w.must("SET SESSION time_zone='+00:00', sql_mode=''")
	w.must("SET NAMES utf8mb4")
	w.must("DROP DATABASE IF EXISTS truth_mark")
	w.must("CREATE DATABASE truth_mark")
	w.must("CREATE TABLE truth_mark.mark (id INT PRIMARY KEY)")
	w.begin()
	return w
}

func (w *world) must(sql string) {
	w.t.Helper()
	if _, err := w.look.Execute(sql); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// begin starts a canald with a fresh home at the end of the binlog.
func (w *world) begin() {
	w.t.Helper()
	if w.c != nil {
		w.c.Kill()
	}
	w.c = harness.StartCanald(w.t, w.s, "canal.file.flush.period=100", map[string]string{destination: `canal.instance.filter.regex=.*\\..*`})
	w.running, w.paused, w.repeats, w.expect, w.stream, w.base = true, false, nil, nil, nil, 0
	w.connect()
}

func (w *world) connect() {
	w.t.Helper()
	if w.conn != nil {
		_ = w.conn.Close()
	}
	conn, err := client.Dial(w.t.Context(), client.Options{Addr: w.c.Addr, Destination: destination})
	if err != nil {
		w.t.Fatal(err)
	}
	for end := time.Now().Add(2 * quietLimit); ; time.Sleep(5 * time.Millisecond) {
		if err = conn.Subscribe(w.t.Context(), ""); err == nil {
			break
		}
		if time.Now().After(end) {
			w.t.Fatalf("subscribe: %v\n%s", err, w.c.Log())
		}
	}
	w.conn = conn
}

// act does an action; those that make no sense now do nothing, so that any part
// of a script can be run.
func (w *world) act(what string) *failure {
	switch what {
	case actionPause:
		if w.running && !w.paused {
			w.c.Pause(w.t)
			w.paused = true
		}
	case actionResume:
		if w.paused {
			w.c.Resume(w.t)
			w.paused = false
		}
	case actionStop, actionKill:
		if !w.running {
			break
		}
		_ = w.act(actionResume)
		if what == actionStop {
			w.c.Stop(w.t)
		} else {
			w.c.Kill()
		}
		w.running = false
	case actionStart:
		if !w.running {
			w.c.Start(w.t)
			w.running, w.repeats, w.expect = true, &repeats{old: slices.Clone(w.stream), next: -1}, nil
			w.connect()
		}
	case actionDrain:
		if w.running && !w.paused {
			return w.drain(w.mark())
		}
	}
	return nil
}

func (w *world) mark() string {
	w.t.Helper()
	w.marks++
	w.must(fmt.Sprintf("INSERT INTO truth_mark.mark VALUES (%d)", w.marks))
	return fmt.Sprint(w.marks)
}

// drain takes entries until a mark's row; a part of the batches is given back.
func (w *world) drain(mark string) *failure {
	w.t.Helper()
	for last := time.Now(); ; {
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*w.quiet)
		m, err := w.conn.GetWithoutAck(ctx, fetchSize, 0)
		cancel()
		if err != nil {
			return failed("get", "%v", err)
		}
		if m.ID < 0 {
			if time.Since(last) > w.quiet {
				return failed("canald stops: "+w.trouble(), "nothing comes for %s: %s", w.quiet, w.lastError())
			}
			time.Sleep(2 * time.Millisecond)
			continue
		}
		last = time.Now()
		entries, err := m.Decode()
		if err != nil {
			return failed("entry", "%v", err)
		}
		done := false
		for _, e := range entries {
			if f := w.take(e); f != nil {
				return f
			}
			done = done || isMark(e, mark)
		}
		if w.random.IntN(8) == 0 && !done && w.repeats == nil {
			w.expect = append(entries, w.expect...)
			if err := w.conn.Rollback(w.t.Context(), 0); err != nil {
				return failed("get", "%v", err)
			}
			continue
		}
		if err := w.conn.Ack(w.t.Context(), m.ID); err != nil {
			return failed("get", "%v", err)
		}
		if done {
			return nil
		}
	}
}

// take adds an entry to the stream, or compares it with the one that it repeats.
func (w *world) take(e *canalpb.Entry) *failure {
	if w.repeats != nil {
		again, f := w.repeats.take(e)
		if again || f != nil {
			return f
		}
		w.repeats = nil
	}
	if len(w.expect) == 0 {
		w.stream = append(w.stream, e)
		return nil
	}
	old := w.expect[0]
	w.expect = w.expect[1:]
	return sameEntry(old, e)
}

func sameEntry(old, e *canalpb.Entry) *failure {
	if a, b := essence(old), essence(e); a != b {
		return failed("repeated entry differs", "first %s\nthen  %s", a, b)
	}
	return nil
}

// repeats are the entries that a canald tells again after its start. Begins and
// ends are not compared: which empty transactions it tells of depends on times.
type repeats struct {
	old   []*canalpb.Entry
	next  int // in old, -1 before the first
	count int // entries at the last place
}

// take says whether an entry is one that came before.
func (r *repeats) take(e *canalpb.Entry) (again bool, f *failure) {
	if len(r.old) == 0 {
		return false, nil
	}
	last := placeOf(r.old[len(r.old)-1])
	switch at := placeOf(e); {
	case last.before(at):
		return false, nil
	case at == last:
		known := 0
		for _, o := range r.old {
			if placeOf(o) == last {
				known++
			}
		}
		if r.count++; r.count > known {
			return false, nil
		}
	}
	if e.GetEntryType() != canalpb.EntryType_ROWDATA {
		return true, nil
	}
	if r.next < 0 {
		r.next = slices.IndexFunc(r.old, func(o *canalpb.Entry) bool {
			return o.GetEntryType() == canalpb.EntryType_ROWDATA && placeOf(o) == placeOf(e)
		})
		if r.next < 0 {
			return true, nil // from before the first that is known
		}
	}
	for r.next < len(r.old) && r.old[r.next].GetEntryType() != canalpb.EntryType_ROWDATA {
		r.next++
	}
	if r.next == len(r.old) {
		return false, nil
	}
	r.next++
	return true, sameEntry(r.old[r.next-1], e)
}

func placeOf(e *canalpb.Entry) place {
	return place{e.GetHeader().GetLogfileName(), e.GetHeader().GetLogfileOffset()}
}

// essence is what must be equal when an entry comes again. The spelling of types
// may change when structures were read anew.
func essence(e *canalpb.Entry) string {
	h := e.GetHeader()
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d %s %s %s.%s", h.GetLogfileName(), h.GetLogfileOffset(), e.GetEntryType(), h.GetEventType(), h.GetSchemaName(), h.GetTableName())
	if e.GetEntryType() != canalpb.EntryType_ROWDATA {
		return b.String()
	}
	rc := new(canalpb.RowChange)
	if err := proto.Unmarshal(e.GetStoreValue(), rc); err != nil {
		return err.Error()
	}
	b.WriteString(" " + rc.GetSql())
	for _, row := range rc.GetRowDatas() {
		for _, columns := range [][]*canalpb.Column{row.GetBeforeColumns(), row.GetAfterColumns()} {
			b.WriteString(" (")
			for _, c := range columns {
				fmt.Fprintf(&b, "%d %s %v %v %v %q,", c.GetIndex(), c.GetName(), c.GetIsKey(), c.GetUpdated(), c.GetIsNull(), c.GetValue())
			}
			b.WriteString(")")
		}
	}
	return b.String()
}

func isMark(e *canalpb.Entry, mark string) bool {
	if e.GetEntryType() != canalpb.EntryType_ROWDATA || e.GetHeader().GetSchemaName() != "truth_mark" || e.GetHeader().GetEventType() != canalpb.EventType_INSERT {
		return false
	}
	rc := new(canalpb.RowChange)
	if err := proto.Unmarshal(e.GetStoreValue(), rc); err != nil || len(rc.GetRowDatas()) != 1 {
		return false
	}
	after := rc.GetRowDatas()[0].GetAfterColumns()
	return len(after) == 1 && after[0].GetValue() == mark
}

var (
	logged = regexp.MustCompile(`error="((?:[^"\\]|\\.)*)"`)
	// What differs from run to run in an error: numbers, names, places.
	varying = regexp.MustCompile("`[^`]*`|[0-9]+|mysql-bin\\S*|truth_\\S*|: [^ ]*\\.[^ ]*$")
)

// lastError is the last error that canald logged.
func (w *world) lastError() string {
	all := logged.FindAllStringSubmatch(w.c.Log(), -1)
	if len(all) == 0 {
		return "no error in its log"
	}
	return all[len(all)-1][1]
}

// trouble is the last error without what varies.
func (w *world) trouble() string {
	text := w.lastError()
	if i := strings.LastIndex(text, ": "); i > 0 && strings.Contains(text[i:], ".") {
		text = text[:i]
	}
	return varying.ReplaceAllString(text, "…")
}

// position is where the binlog ends.
func (w *world) position() (place, error) {
	sql := "SHOW MASTER STATUS"
	if w.s.MySQL() && w.s.AtLeast(8, 4) {
		sql = "SHOW BINARY LOG STATUS"
	}
	r, err := w.look.Execute(sql)
	if err != nil {
		return place{}, err
	}
	file, _ := r.GetString(0, 0)
	offset, _ := r.GetInt(0, 1)
	return place{file, offset}, nil
}
