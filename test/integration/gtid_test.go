package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/test/harness"
)

func hasGTIDs(v harness.Version) bool { return !v.MySQL() || v.AtLeast(5, 6) }

// startWithGTIDs starts a server that names its transactions, with another name
// for its binlog files where one is given.
func startWithGTIDs(t *testing.T, v harness.Version, options ...string) *harness.Server {
	t.Helper()
	updates := "--log-slave-updates=ON"
	if v.MySQL() && v.AtLeast(8, 4) {
		updates = "--log-replica-updates=ON"
	}
	options = append(options, updates)
	if v.MySQL() {
		options = append(options, "--gtid-mode=ON", "--enforce-gtid-consistency=ON")
	}
	s, err := harness.StartServer(t.Context(), v, t.TempDir(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

// follow makes a server the replica of another one.
func follow(t *testing.T, replica, of *harness.Server) {
	t.Helper()
	change, begin := "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s', ", "START SLAVE"
	switch {
	case !of.MySQL():
		change += "MASTER_USE_GTID=slave_pos"
	case of.AtLeast(8, 4):
		change, begin = strings.ReplaceAll(strings.ReplaceAll(change, "CHANGE MASTER", "CHANGE REPLICATION SOURCE"), "MASTER_", "SOURCE_")+"SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1", "START REPLICA"
	default:
		change += "MASTER_AUTO_POSITION=1"
		if of.AtLeast(8, 0) {
			change += ", GET_MASTER_PUBLIC_KEY=1"
		}
	}
	replica.Exec(t, fmt.Sprintf(change, of.Port, of.User, of.Password), begin)
}

// executed is the set of a server, as canald writes it.
func executed(t *testing.T, s *harness.Server) string {
	t.Helper()
	sql := "SELECT @@global.gtid_executed"
	if !s.MySQL() {
		sql = "SELECT @@global.gtid_binlog_pos"
	}
	set, err := position.ParseGTIDSet(query(t, s, sql)[0][0])
	if err != nil {
		t.Fatal(err)
	}
	return set.String()
}

// caughtUp waits until a replica has all that its source has.
func caughtUp(t *testing.T, replica, of *harness.Server) {
	t.Helper()
	all, err := position.ParseGTIDSet(executed(t, of))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica has caught up", func() bool {
		has, err := position.ParseGTIDSet(executed(t, replica))
		if err != nil {
			t.Fatal(err)
		}
		return has.Contains(all)
	})
}

// on moves a scene to another server.
func (sc *scene) on(s *harness.Server) {
	sc.s = s
	sc.config.Source.Addr = s.Addr
}

// TestGTID goes through the life of an instance in GTID mode.
func TestGTID(t *testing.T) {
	for _, v := range harness.Versions() {
		if !hasGTIDs(v) {
			continue
		}
		t.Run(string(v), func(t *testing.T) {
			s := startWithGTIDs(t, v)
			replica := startWithGTIDs(t, v, "--log-bin=other-bin")
			follow(t, replica, s)
			t.Run("stream", func(t *testing.T) { gtidStream(t, s) })
			t.Run("learned", func(t *testing.T) { gtidLearned(t, s) })
			t.Run("returning", func(t *testing.T) { gtidReturning(t, s) })
			t.Run("configured", func(t *testing.T) { gtidConfigured(t, s) })
			if v.MySQL() && v.AtLeast(8, 3) {
				t.Run("tags", func(t *testing.T) { gtidTags(t, s) })
			}
			t.Run("switch", func(t *testing.T) { gtidSwitch(t, s, replica) })
			t.Run("moved address", func(t *testing.T) { gtidMovedAddress(t, s, replica) })
			t.Run("purged", func(t *testing.T) { gtidPurged(t, replica, s) })
			t.Run("reset", func(t *testing.T) { gtidReset(t, s) })
		})
	}
}

// gtidScene is a scene in GTID mode that keeps cursors and structures.
func gtidScene(t *testing.T, s *harness.Server, name string, id uint32) (sc *scene, dir string) {
	t.Helper()
	sc = newScene(t, s, name, id)
	sc.exec(idTable)
	sc.config.Source.GTID = true
	dir = t.TempDir()
	sc.config.HistoryFile = filepath.Join(dir, history.FileName)
	return sc, dir
}

// cursorSet is the set in the file of cursors.
func cursorSet(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name, "meta.dat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), `"gtid":"`)
	set, _, _ := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("no set in %s", text)
	}
	return set
}

func prop(h *canalpb.Header, key string) string {
	for _, p := range h.GetProps() {
		if p.GetKey() == key {
			return p.GetValue()
		}
	}
	return ""
}

// gtidStream: entries carry the set with their transaction, cursors too, and a
// restart goes on behind it.
func gtidStream(t *testing.T, s *harness.Server) {
	sc, dir := gtidScene(t, s, "gtid1", 4901)
	sc.begin(dir)
	before := executed(t, s)
	sc.exec("INSERT INTO t VALUES (1,'a')", "BEGIN", "INSERT INTO t VALUES (2,'b')", "INSERT INTO t VALUES (3,'c')", "COMMIT")
	after := executed(t, s)
	entries := sc.entries()
	has, err := position.ParseGTIDSet(before)
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, e := range entries {
		h := e.GetHeader()
		set, err := position.ParseGTIDSet(h.GetGtid())
		if err != nil || set.Empty() {
			t.Fatalf("entry %s with the set %q: %v", e.GetEntryType(), h.GetGtid(), err)
		}
		if has.Contains(set) {
			t.Errorf("%s has %s, the source had %s before", e.GetEntryType(), set, before)
		}
		if s.MySQL() != (prop(h, "curtGtid") != "") {
			t.Errorf("props %v", h.GetProps())
		}
		if current := prop(h, "curtGtid"); current != "" {
			one, err := position.ParseGTIDSet(current)
			if err != nil || !set.Contains(one) || has.Contains(one) {
				t.Errorf("curtGtid %s in %s", current, set)
			}
			sn, err1 := strconv.Atoi(prop(h, "curtGtidSn"))
			lct, err2 := strconv.Atoi(prop(h, "curtGtidLct"))
			if err1 != nil || err2 != nil || s.AtLeast(8, 0) && sn <= lct {
				t.Errorf("props %v", h.GetProps())
			}
		}
		last = h.GetGtid()
	}
	if last != after {
		t.Errorf("the last set is %s, the source's was %s", last, after)
	}
	sc.leave()
	if set := cursorSet(t, dir, "gtid1"); set != executed(t, s) {
		t.Errorf("cursor %s, source %s", set, executed(t, s))
	}
	sc.exec("INSERT INTO t VALUES (4,'d')", "ALTER TABLE t ADD w INT FIRST", "INSERT INTO t VALUES (5,5,'e')")
	sc.begin(dir)
	equal(t, sc.rowLines(), []string{"t INSERT id=4 v=d", "t INSERT w=5 id=5 v=e"})
	// A statement that was acknowledged is not taken back with the start behind it.
	sc.exec("ALTER TABLE t DROP w")
	sc.rowLines()
	sc.leave()
	sc.exec("INSERT INTO t VALUES (6,'f')")
	sc.begin(dir)
	equal(t, sc.rowLines(), []string{"t INSERT id=6 v=f"})
	sc.leave()
	// Without the mode the same cursor is a file and offset.
	sc.config.Source.GTID = false
	sc.exec("INSERT INTO t VALUES (7,'g')")
	sc.begin(dir)
	rows := sc.rowLines()
	if len(rows) == 0 || rows[len(rows)-1] != "t INSERT id=7 v=g" {
		t.Errorf("%v", rows)
	}
	sc.leave()
	if set := cursorSet(t, dir, "gtid1"); set != "" {
		t.Errorf("cursor %s without the mode", set)
	}
}

// gtidLearned: a start by file and offset finds its set out.
func gtidLearned(t *testing.T, s *harness.Server) {
	sc, dir := gtidScene(t, s, "gtid2", 4902)
	sc.config.Source.GTID = false
	sc.begin(dir)
	sc.exec("INSERT INTO t VALUES (1,'a')")
	sc.rows()
	sc.leave()
	sc.exec("INSERT INTO t VALUES (2,'b')")
	want := executed(t, s)
	sc.config.Source.GTID = true
	sc.begin(dir)
	for _, e := range sc.entries() {
		if e.GetEntryType() == canalpb.EntryType_ROWDATA && e.GetHeader().GetEventType() == canalpb.EventType_INSERT && e.GetHeader().GetGtid() != want {
			t.Errorf("%s, want %s", e.GetHeader().GetGtid(), want)
		}
	}
	sc.leave()
	if set := cursorSet(t, dir, "gtid2"); set != executed(t, s) {
		t.Errorf("cursor %s, source %s", set, executed(t, s))
	}
}

// gtidReturning: a client whose transactions the store has let go of gets them
// from its own set on.
func gtidReturning(t *testing.T, s *harness.Server) {
	sc, dir := gtidScene(t, s, "gtid3", 4903)
	sc.config.AbsentAfter = 200 * time.Millisecond
	sc.config.Store.Slots = 16
	sc.begin(dir)
	away := connect(t, sc.c, "gtid3", 1002)
	for id := range 40 {
		sc.exec(fmt.Sprintf("INSERT INTO t VALUES (%d,'x')", id))
	}
	if rows := sc.rows(); len(rows) != 40 {
		t.Errorf("%d rows", len(rows))
	}
	seen := 0
	drain(t, away, func(e *canalpb.Entry) bool {
		seen += len(rowsOf(t, []*canalpb.Entry{e}))
		return seen >= 40
	})
	sc.exec("INSERT INTO t VALUES (100,'y')")
	equal(t, sc.rowLines(), []string{"t INSERT id=100 v=y"})
}

// gtidConfigured: a set in the configuration is where to begin.
func gtidConfigured(t *testing.T, s *harness.Server) {
	sc, dir := gtidScene(t, s, "gtid4", 4904)
	sc.exec("INSERT INTO t VALUES (1,'a')")
	set := executed(t, s)
	sc.exec("INSERT INTO t VALUES (2,'b')", "FLUSH LOGS", "INSERT INTO t VALUES (3,'c')")
	sc.config.Start = binlog.StartConfig{GTID: set}
	sc.begin(dir)
	equal(t, sc.rowLines(), []string{"t INSERT id=2 v=b", "t INSERT id=3 v=c"})
}

// gtidTags: names of transactions with a tag.
func gtidTags(t *testing.T, s *harness.Server) {
	sc, dir := gtidScene(t, s, "gtid5", 4905)
	sc.begin(dir)
	sc.exec("SET gtid_next='AUTOMATIC:shop'", "INSERT INTO t VALUES (1,'a')", "INSERT INTO t VALUES (2,'b')")
	want := executed(t, s)
	var current []string
	for _, e := range sc.entries() {
		if len(rowsOf(t, []*canalpb.Entry{e})) > 0 {
			current = append(current, prop(e.GetHeader(), "curtGtid"))
			if set := e.GetHeader().GetGtid(); !strings.Contains(set, ":shop:1") {
				t.Errorf("set %s", set)
			}
		}
	}
	if len(current) != 2 || !strings.HasSuffix(current[0], ":shop:1") || !strings.HasSuffix(current[1], ":shop:2") || !strings.Contains(want, ":shop:1-2") {
		t.Errorf("%q, the source has %s", current, want)
	}
	sc.leave()
	sc.exec("SET gtid_next='AUTOMATIC:shop'", "INSERT INTO t VALUES (3,'c')", "SET gtid_next=AUTOMATIC", "INSERT INTO t VALUES (4,'d')")
	sc.begin(dir)
	equal(t, sc.rowLines(), []string{"t INSERT id=3 v=c", "t INSERT id=4 v=d"})
}

// gtidSwitch: with another source in the configuration the instance goes on
// where its clients stopped, though files and offsets are others there.
func gtidSwitch(t *testing.T, s, replica *harness.Server) {
	sc, dir := gtidScene(t, s, "gtid6", 4906)
	sc.config.Store.ItemMode = true // for a batch of one entry
	sc.begin(dir)
	other := connect(t, sc.c, "gtid6", 1002)
	sc.exec("INSERT INTO t VALUES (1,'a')", "ALTER TABLE t ADD w INT FIRST", "INSERT INTO t VALUES (2,2,'b')")
	equal(t, sc.rowLines(), []string{"t INSERT id=1 v=a", "t INSERT w=2 id=2 v=b"})
	m, err := other.GetWithoutAck(t.Context(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Ack(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	sc.leave()
	sc.exec("INSERT INTO t VALUES (3,3,'c')", "ALTER TABLE t DROP w", "INSERT INTO t VALUES (4,'d')")
	caughtUp(t, replica, s)
	sc.on(replica)
	sc.begin(dir)
	other = connect(t, sc.c, "gtid6", 1002)
	// Marks are written on the source; the replica's own would part the two.
	sc.s = s
	equal(t, sc.rowLines(), []string{"t INSERT w=3 id=3 v=c", "t INSERT id=4 v=d"})
	var late []string
	drain(t, other, func(e *canalpb.Entry) bool {
		for _, r := range rowsOf(t, []*canalpb.Entry{e}) {
			if r.table == "t" {
				late = append(late, r.String())
			}
		}
		return len(late) > 0 && strings.HasPrefix(late[len(late)-1], "t INSERT id=4")
	})
	if n := len(late); n < 3 || late[n-3] != "t INSERT w=2 id=2 v=b" || late[n-2] != "t INSERT w=3 id=3 v=c" {
		t.Errorf("the client that was behind gets %q", late)
	}
	sc.leave()
	// And back again.
	sc.exec("INSERT INTO t VALUES (5,'e')")
	sc.on(s)
	sc.begin(dir)
	equal(t, sc.rowLines(), []string{"t INSERT id=5 v=e"})
	sc.leave()
}

// gtidMovedAddress: the address leads to another source while canald runs.
func gtidMovedAddress(t *testing.T, s, replica *harness.Server) {
	sc, dir := gtidScene(t, s, "gtid7", 4907)
	p := harness.StartProxy(t, s.Addr)
	sc.config.Source.Addr = p.Addr
	sc.begin(dir)
	sc.exec("INSERT INTO t VALUES (1,'a')")
	equal(t, sc.rowLines(), []string{"t INSERT id=1 v=a"})
	caughtUp(t, replica, s)
	p.Cut()
	p.Aim(replica.Addr)
	sc.exec("INSERT INTO t VALUES (2,'b')")
	caughtUp(t, replica, s)
	p.Heal()
	equal(t, sc.rowLines(), []string{"t INSERT id=2 v=b"})
	sc.exec("INSERT INTO t VALUES (3,'c')")
	equal(t, sc.rowLines(), []string{"t INSERT id=3 v=c"})
	sc.leave()
}

// gtidPurged: what the source has purged is named, and by order it is given up.
func gtidPurged(t *testing.T, s, of *harness.Server) {
	sc, dir := gtidScene(t, of, "gtid8", 4908)
	caughtUp(t, s, of)
	sc.config.Source.Addr = s.Addr
	sc.begin(dir)
	sc.exec("INSERT INTO t VALUES (1,'a')")
	sc.rows()
	sc.leave()
	sc.exec("INSERT INTO t VALUES (2,'b')")
	caughtUp(t, s, of)
	s.Exec(t, "FLUSH LOGS")
	file, _ := place(t, s)
	eventually(t, "the old files are gone", func() bool { // a MariaDB keeps one until its engine is done with it
		s.Exec(t, "PURGE BINARY LOGS TO '"+file+"'")
		return query(t, s, "SHOW BINARY LOGS")[0][0] == file
	})
	sc.begin(dir)
	eventually(t, "the loss is seen", func() bool {
		err := sc.status().LastError
		return strings.Contains(err, "is not in the source's binlog") && (!s.MySQL() || strings.Contains(err, "purged transactions that were not received"))
	})
	sc.c.stop()
	sc.config.ResetWhenPurged = true
	sc.begin(dir)
	eventually(t, "it goes on at the end", func() bool { s := sc.status(); return s.LastError != "" && s.Connected && s.Dumps > 1 })
	sc.exec("INSERT INTO t VALUES (3,'c')")
	equal(t, sc.rowLines(), []string{"t INSERT id=3 v=c"})
	sc.leave()
}

// gtidReset: a source that began its binlogs anew is not followed silently.
func gtidReset(t *testing.T, s *harness.Server) {
	sc, dir := gtidScene(t, s, "gtid9", 4909)
	sc.begin(dir)
	sc.exec("INSERT INTO t VALUES (1,'a')")
	sc.rows()
	sc.leave()
	reset := "RESET MASTER"
	if s.MySQL() && s.AtLeast(8, 4) {
		reset = "RESET BINARY LOGS AND GTIDS"
	}
	s.Exec(t, reset)
	sc.exec("INSERT INTO t VALUES (2,'b')")
	sc.begin(dir)
	eventually(t, "the reset is seen", func() bool { return strings.Contains(sc.status().LastError, "is not in the source's binlog") })
}

// TestGTIDOff: without names for transactions the mode has no effect.
func TestGTIDOff(t *testing.T) {
	// Newer versions have them by default.
	eachOf(t, func(v harness.Version) bool { return v.MySQL() && !v.AtLeast(9, 0) }, func(t *testing.T, s *harness.Server) {
		sc, dir := gtidScene(t, s, "gtid10", 4910)
		sc.begin(dir)
		sc.exec("INSERT INTO t VALUES (1,'a')")
		equal(t, sc.rowLines(), []string{"t INSERT id=1 v=a"})
		sc.leave()
		sc.exec("INSERT INTO t VALUES (2,'b')")
		sc.begin(dir)
		equal(t, sc.rowLines(), []string{"t INSERT id=2 v=b"})
		sc.leave()
		if set := cursorSet(t, dir, "gtid10"); set != "" {
			t.Errorf("cursor with the set %s", set)
		}
	})
}
