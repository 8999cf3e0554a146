package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/config"
	"github.com/canald/canald/internal/filter"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/tsdb"
)

// source is an instance with what was seen of its source and its metadata.
type source struct {
	in      config.Instance
	running bool // the server that is checked runs: one of the replicas is its own
	facts   binlog.Facts
	err     error // the source cannot be reached
	clients []meta.Client
	metaErr error

	archived   bool // the tables of canal.instance.tsdb.url are there
	archiveErr error
}

// Limits of what is taken for right.
const (
	maxClockSkew  = 5 * time.Second
	minRetention  = 24 * time.Hour
	maxMetaBytes  = 64 << 20
	connectWithin = 10 * time.Second
)

func look(ctx context.Context, in config.Instance) *source {
	s := &source{in: in}
	s.clients, s.metaErr = readMeta(in)
	ctx, cancel := context.WithTimeout(ctx, 3*connectWithin)
	defer cancel()
	s.facts, s.err = binlog.Probe(ctx, s.config())
	if a := in.Archive; a.Addr != "" {
		s.archived, s.archiveErr = tsdb.Probe(ctx, tsdb.Config{Addr: a.Addr, Database: a.Database, User: a.User, Password: a.Password})
	}
	return s
}

// config is what the source is asked with.
func (s *source) config() binlog.Config {
	in := s.in
	return binlog.Config{
		Addr: in.Address, User: in.User, Password: in.Password, TLS: binlog.TLSMode(in.TLS), Database: in.Database, Charset: in.Charset,
		ConnectTimeout: connectWithin, QueryTimeout: connectWithin,
	}
}

// waitForOwn looks again for a while when the source lists a replica with our id.
func (s *source) waitForOwn(ctx context.Context, patience time.Duration) {
	const every = time.Second
	late := time.Now().Add(patience)
	for slices.ContainsFunc(s.facts.Replicas, func(r binlog.Replica) bool { return r.ID == s.in.ServerID }) && time.Now().Before(late) {
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
		if again, err := binlog.Replicas(ctx, s.config()); err == nil {
			s.facts.Replicas = again
		}
	}
}

// readMeta reads meta.dat without touching it.
func readMeta(in config.Instance) ([]meta.Client, error) {
	if !in.KeepCursors {
		return nil, nil
	}
	path := filepath.Join(in.DataDir, in.Destination, "meta.dat")
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxMetaBytes {
		return nil, fmt.Errorf("%s has %d bytes", path, info.Size())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	clients, _, err := meta.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return clients, nil
}

func (s *source) finding(l Level, code, what, why, repair string) Finding {
	return Finding{l, s.in.Destination, code, what, why, repair}
}

func (s *source) report(r *Report) {
	add := func(l Level, code, what, why, repair string) { r.add(s.finding(l, code, what, why, repair)) }
	if s.in.KeepCursors {
		r.folder(s.in.Destination, "data", filepath.Join(s.in.DataDir, s.in.Destination), "cursors cannot be kept and the instance does not start")
	} else if !s.in.InZooKeeper {
		add(Note, "memory", "cursors are kept in memory only (memory-instance.xml)", "after a restart clients go on at the end of the binlog", "")
	}
	if s.metaErr != nil {
		add(Problem, "meta-broken", s.metaErr.Error(), "the places of the clients are not known; an earlier generation is taken if one is readable, else the instance does not start",
			"put meta.dat.1, meta.dat.2 or a backup in its place")
	}
	s.archive(r)
	if s.err != nil {
		s.unreachable(r)
		return
	}
	add(OK, "source", fmt.Sprintf("%s answers: %s", s.in.Address, s.facts.Version), "", "")
	s.logging(r)
	s.rights(r)
	s.identity(r)
	s.places(r)
	s.tables(r)
	if skew := s.facts.ClockSkew; skew.Abs() > maxClockSkew {
		add(Warning, "clock", fmt.Sprintf("the source's clock is %s off this host's", skew), "delays are shown wrong by as much", "run chrony or ntpd on both hosts")
	}
	s.zone(r)
}

// archive reports the database in which Java servers keep structures.
func (s *source) archive(r *Report) {
	if s.in.Archive.Addr == "" {
		return
	}
	add := func(l Level, what, why, repair string) { r.add(s.finding(l, "tsdb-database", what, why, repair)) }
	switch there := s.archived; {
	case s.archiveErr != nil:
		add(Problem, s.archiveErr.Error(), "the instance would stand still at the next statement that changes tables",
			"make the database and the account's rights on it, or correct canal.instance.tsdb.url, .dbUsername and .dbPassword")
	case !there:
		add(Note, "meta_history and meta_snapshot are not there yet", "the instance makes them when it starts; its account needs CREATE for that", "")
	default:
		add(OK, "structures are kept in the tables of canal.instance.tsdb.url", "", "")
	}
}

func (s *source) unreachable(r *Report) {
	var dns *net.DNSError
	var repair, code string
	switch text := s.err.Error(); {
	case errors.As(s.err, &dns):
		code, repair = "source-name", "correct canal.instance.master.address, or the name server"
	case strings.Contains(text, "Access denied"):
		code, repair = "source-login", "correct canal.instance.dbUsername and canal.instance.dbPassword, or create the account: CREATE USER '"+s.in.User+
			"'@'%' IDENTIFIED BY '…'; GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '"+s.in.User+"'@'%'"
	case strings.Contains(text, "secure transport") || strings.Contains(text, "secure_transport"):
		code, repair = "source-tls", "canal.instance.master.sslMode=REQUIRED"
	case s.in.TLS != string(binlog.TLSDisabled) && (strings.Contains(text, "tls") || strings.Contains(text, "TLS") || strings.Contains(text, "x509") || strings.Contains(text, "SSL")):
		code, repair = "source-tls", "give the source a certificate, or canal.instance.master.sslMode=PREFERRED"
	default:
		code, repair = "source-unreachable", "start the source, open the firewall, or correct canal.instance.master.address"
	}
	r.add(s.finding(Problem, code, s.err.Error(), "nothing can be followed", repair))
}

// logging looks at how the source writes its binlog.
func (s *source) logging(r *Report) {
	v := s.facts.Variables
	if off := strings.EqualFold(v["log_bin"], "OFF"); off {
		r.add(s.finding(Problem, "log-bin", "the binary log is off", "there is nothing to follow", "log_bin=mysql-bin and server_id=1 under [mysqld] in the source's my.cnf, then restart it"))
		return
	}
	if f := v["binlog_format"]; f != "" && !strings.EqualFold(f, "ROW") {
		r.add(s.finding(Problem, "binlog-format", "binlog_format is "+f, "changes that are logged as statements carry no rows", "SET GLOBAL binlog_format = 'ROW'; and binlog_format=ROW in my.cnf"))
	}
	if i := v["binlog_row_image"]; i != "" && !strings.EqualFold(i, "FULL") {
		r.add(s.finding(Warning, "row-image", "binlog_row_image is "+i, "rows arrive without the columns that did not change", "SET GLOBAL binlog_row_image = 'FULL'; and binlog_row_image=FULL in my.cnf"))
	}
	if o := v["binlog_row_value_options"]; strings.Contains(strings.ToUpper(o), "PARTIAL_JSON") {
		r.add(s.finding(Warning, "partial-json", "binlog_row_value_options is PARTIAL_JSON", "updated JSON columns arrive as functions on the old value", "SET GLOBAL binlog_row_value_options = ''"))
	}
	if m, ok := v["binlog_row_metadata"]; ok && !strings.EqualFold(m, "FULL") {
		r.add(s.finding(Note, "row-metadata", "binlog_row_metadata is "+m, "with FULL the binlog names its own columns, and an ALTER between two reads cannot confuse names", "SET GLOBAL binlog_row_metadata = 'FULL'"))
	}
	if m := v["gtid_mode"]; s.in.GTID && !s.facts.MariaDB && !strings.EqualFold(m, "ON") {
		if m == "" {
			m = "not known to this version"
		}
		r.add(s.finding(Warning, "gtid-mode", "canal.instance.gtidon is true and gtid_mode of the source is "+m, "places are files and offsets, and a change to another source is not possible",
			"gtid_mode=ON and enforce_gtid_consistency=ON in the source's my.cnf, or canal.instance.gtidon=false"))
	}
	keeps := time.Duration(0)
	if sec, err := strconv.ParseInt(v["binlog_expire_logs_seconds"], 10, 64); err == nil && sec > 0 {
		keeps = time.Duration(min(sec, math.MaxInt64/int64(time.Second))) * time.Second
	} else if days, err := strconv.ParseFloat(v["expire_logs_days"], 64); err == nil && days > 0 {
		keeps = time.Duration(days * 24 * float64(time.Hour))
	}
	if keeps > 0 && keeps < minRetention {
		r.add(s.finding(Warning, "retention", fmt.Sprintf("the source keeps its binlog for %s only", keeps), "a client that is away for longer loses changes", "SET GLOBAL binlog_expire_logs_seconds = 604800 (older versions: expire_logs_days = 7)"))
	}
	for _, name := range []string{"binlog_do_db", "binlog_ignore_db"} {
		if v[name] != "" {
			r.add(s.finding(Warning, "binlog-db", name+" is "+v[name], "changes of other schemas are not in the binlog", "take the option out of my.cnf"))
		}
	}
}

// rights looks at what the account may do, by doing it.
func (s *source) rights(r *Report) {
	grant := func(what string) string { return "GRANT " + what + " ON *.* TO '" + s.in.User + "'@'…'" }
	off := strings.EqualFold(s.facts.Variables["log_bin"], "OFF")
	if err := s.facts.StatusErr; err != nil && !off {
		r.add(s.finding(Problem, "grant-client", err.Error(), "the end of the binlog cannot be asked for", grant("REPLICATION CLIENT")))
	}
	if err := s.facts.DumpErr; err != nil && !off {
		r.add(s.finding(Problem, "grant-replica", "a dump was refused: "+err.Error(), "the binlog cannot be read", grant("REPLICATION SLAVE")))
	}
	if err := s.facts.TablesErr; err != nil {
		r.add(s.finding(Problem, "grant-select", err.Error(), "names and types of columns cannot be read", grant("SELECT")))
	}
	if s.facts.StatusErr == nil && s.facts.DumpErr == nil && !off {
		r.add(s.finding(OK, "grants", "the account may read the binlog", "", ""))
	}
}

// identity looks at the replica's id.
func (s *source) identity(r *Report) {
	id := s.in.ServerID
	if own := s.facts.Variables["server_id"]; own == strconv.FormatUint(uint64(id), 10) {
		r.add(s.finding(Problem, "slave-id-source", "slaveId "+own+" is the source's own server_id", "the source refuses the dump, or takes our requests for its own", "canal.instance.mysql.slaveId=another number"))
	}
	if own := s.facts.Variables["server_id"]; own == "0" {
		r.add(s.finding(Problem, "server-id", "the source's server_id is 0", "it refuses replicas", "SET GLOBAL server_id = 1; and server_id=1 in my.cnf"))
	}
	used := 0
	for _, o := range s.facts.Replicas {
		if o.ID == id {
			used++
		}
	}
	if s.running {
		used--
	}
	if s.facts.ReplicasErr != nil {
		r.add(s.finding(Note, "replicas-hidden", "the account may not list the source's replicas: "+s.facts.ReplicasErr.Error(), "whether another replica uses the same slaveId cannot be seen", "MariaDB: GRANT REPLICATION MASTER ADMIN ON *.* TO '"+s.in.User+"'@'…', for the time of the check"))
	}
	if used > 0 {
		r.add(s.finding(Problem, "slave-id-taken", fmt.Sprintf("slaveId %d is used by another replica of this source", id), "the source ends the older of two replicas with one id: both reconnect for ever",
			"canal.instance.mysql.slaveId=a number that SHOW REPLICAS (SHOW SLAVE HOSTS) does not list; or stop the other server first"))
	}
	if s.in.GeneratedID {
		r.add(s.finding(Note, "slave-id-generated", fmt.Sprintf("slaveId is not set; %d is made from the name and this host's address", id), "", ""))
	}
}

// places looks whether the source still has what is asked for.
func (s *source) places(r *Report) {
	if err := s.facts.FilesErr; err != nil && !strings.EqualFold(s.facts.Variables["log_bin"], "OFF") {
		r.add(s.finding(Note, "files-hidden", "the account may not list the source's binlog files: "+err.Error(), "whether the source still has what the clients need cannot be seen", "MySQL 5.5: GRANT SUPER ON *.* TO '"+s.in.User+"'@'…', for the time of the check"))
	}
	if s.facts.FilesErr != nil || len(s.facts.Files) == 0 {
		return
	}
	has := func(file string) bool { return slices.Contains(s.facts.Files, file) }
	have := s.facts.Files[0] + " to " + s.facts.Files[len(s.facts.Files)-1]
	for _, c := range s.clients {
		if c.Cursor == nil {
			continue
		}
		switch p := c.Cursor.Position; {
		case s.in.GTID && p.GTID != "":
			s.set(r, c)
		case !has(p.File):
			r.add(s.finding(Problem, "cursor-purged", fmt.Sprintf("the cursor of client %d, %s, is gone from the source, which has %s", c.ID, p, have), "the instance cannot start where that client stopped",
				"restore the binlog files; or take the client out of meta.dat if it is not used any more; or canal.auto.reset.latest.pos.mode=true to go on at the end and lose the gap"))
		case p.File == s.facts.Files[0] && len(s.facts.Files) > 1:
			r.add(s.finding(Warning, "cursor-oldest", fmt.Sprintf("the cursor of client %d, %s, is in the oldest file that the source has", c.ID, p), "the next purge loses what the client has not got", "let the client catch up, or keep binlogs longer"))
		case s.facts.StatusErr == nil && position.Compare(p, s.facts.Status.Position) > 0:
			r.add(s.finding(Problem, "cursor-ahead", fmt.Sprintf("the cursor of client %d, %s, lies beyond the end of the source's binlog, %s", c.ID, p, s.facts.Status.Position), "this is another source than the cursor was taken from, or its binlog was reset", "point canal.instance.master.address to the right source, or remove meta.dat to begin at the end"))
		}
	}
	if f := s.in.StartFile; f != "" && len(s.clients) == 0 && !has(f) {
		r.add(s.finding(Problem, "start-purged", "canal.instance.master.journal.name is "+f+"; the source has "+have, "the instance cannot start there", "name a file that the source has, or leave the key empty to start at the end"))
	}
}

// set looks whether the source can continue behind a cursor's set, in GTID mode.
func (s *source) set(r *Report, c meta.Client) {
	if s.facts.MariaDB {
		return // it tells neither
	}
	had, err := position.ParseGTIDSet(c.Cursor.Position.GTID)
	if err != nil {
		r.add(s.finding(Problem, "cursor-gtid", fmt.Sprintf("the cursor of client %d: %v", c.ID, err), "the instance cannot start where that client stopped", "put meta.dat.1, meta.dat.2 or a backup in the place of meta.dat"))
		return
	}
	if purged, err := position.ParseGTIDSet(s.facts.Variables["gtid_purged"]); err == nil && !had.Contains(purged) {
		r.add(s.finding(Problem, "cursor-purged", fmt.Sprintf("the source has purged transactions that client %d has not had: %.200s", c.ID, purged.Without(had)), "the instance cannot start where that client stopped",
			"restore the binlog files; or take the client out of meta.dat if it is not used any more; or canal.auto.reset.latest.pos.mode=true to go on at the end and lose the gap"))
	}
	if executed, err := position.ParseGTIDSet(s.facts.Status.GTID); err == nil && s.facts.StatusErr == nil && !executed.Contains(had) {
		r.add(s.finding(Warning, "cursor-ahead", fmt.Sprintf("client %d has had transactions that the source lacks: %.200s", c.ID, had.Without(executed)), "this is a replica that is behind, another source, or its binlog was reset",
			"point canal.instance.master.address to the right source, or remove meta.dat to begin at the end"))
	}
}

// tables looks whether the filters leave anything.
func (s *source) tables(r *Report) {
	if s.facts.TablesErr != nil {
		return
	}
	white, err := filter.New(s.in.Filter)
	if err != nil {
		return // reported with the configuration
	}
	black, err := filter.New(s.in.BlackFilter)
	if err != nil {
		return
	}
	seen, wanted := 0, 0
	for _, t := range s.facts.Tables {
		schema, _, _ := strings.Cut(t, ".")
		switch strings.ToLower(schema) {
		case "information_schema", "performance_schema", "sys", "mysql":
			continue
		}
		seen++
		if filter.Passes(white, black, t) {
			wanted++
		}
	}
	switch {
	case seen == 0:
		r.add(s.finding(Warning, "no-tables", "the account sees no table", "without SELECT on them the columns' names cannot be read", "GRANT SELECT ON *.* TO '"+s.in.User+"'@'…' (no repair is needed when the source is empty)"))
	case wanted == 0:
		r.add(s.finding(Warning, "filter-empty", fmt.Sprintf("the filters leave none of %d tables", seen), "clients get no rows", "correct canal.instance.filter.regex; patterns match schema.table, as in shop\\\\..*"))
	default:
		r.add(s.finding(OK, "tables", fmt.Sprintf("the filters leave %d of %d tables", wanted, seen), "", ""))
	}
}

// zone compares the zones in which TIMESTAMP columns are shown.
func (s *source) zone(r *Report) {
	zone := s.facts.Variables["time_zone"]
	if zone == "SYSTEM" {
		zone = s.facts.Variables["system_time_zone"]
	}
	offset, ok := zoneOffset(zone)
	if !ok {
		return
	}
	here, own := time.Now().Zone()
	if offset != own {
		r.add(s.finding(Warning, "time-zone", fmt.Sprintf("the source's time zone is %s, this host's is %s", zone, here), "TIMESTAMP columns are shown in this host's zone", "start canald with TZ set to the zone of the source"))
	}
}

// zoneOffset reads +08:00 and the name of this host's zone or of UTC, in seconds.
func zoneOffset(zone string) (int, bool) {
	if t, err := time.Parse("-07:00", zone); err == nil {
		_, off := t.Zone()
		return off, true
	}
	if here, off := time.Now().Zone(); zone == here {
		return off, true
	}
	if zone == "UTC" || zone == "GMT" {
		return 0, true
	}
	if loc, err := time.LoadLocation(zone); err == nil && zone != "" {
		_, off := time.Now().In(loc).Zone()
		return off, true
	}
	return 0, false
}

// migrate tells what a take-over of a Java server's home means for an instance.
func (s *source) migrate(r *Report) {
	subject := "take-over of " + s.in.Destination
	add := func(l Level, code, what, why, repair string) { r.add(Finding{l, subject, code, what, why, repair}) }
	if s.metaErr == nil {
		if len(s.clients) == 0 && s.in.KeepCursors {
			add(Warning, "no-cursors", "there is no meta.dat", "clients start at the configured place or at the end of the binlog", "stop the Java server first, so that it writes its cursors, and point canal.file.data.dir to its folder")
		}
		for _, c := range s.clients {
			what := fmt.Sprintf("client %d has no cursor", c.ID)
			if c.Cursor != nil {
				text, _ := json.Marshal(c.Cursor.Position.Timestamp)
				what = fmt.Sprintf("client %d goes on behind %s (time %s)", c.ID, c.Cursor.Position, text)
			}
			if c.Filter != nil && *c.Filter != "" {
				what += ", with filter " + *c.Filter
			}
			add(OK, "cursor", what, "", "")
		}
	}
	for _, name := range []string{"h2.mv.db", "h2.h2.db"} {
		if _, err := os.Stat(filepath.Join(s.in.DataDir, s.in.Destination, name)); err == nil {
			add(Note, "tsdb", name+" is left as it is", "canald takes structures from the source as it is now; rows of tables that were dropped or renamed since their change cannot be read", "let the clients catch up before the take-over")
		}
	}
}

// migrateHome tells what it means for the whole home.
func migrateHome(r *Report, home string) {
	const subject = "take-over of the home"
	if raw, err := os.ReadFile(filepath.Join(home, "bin", "canal.pid")); err == nil {
		pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		if _, statErr := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil && pid > 0 && statErr == nil {
			r.add(Finding{Problem, subject, "old-server", fmt.Sprintf("process %d of bin/canal.pid still runs", pid), "two servers would read the same source with one id and write the same meta.dat", "bin/stop.sh"})
		}
	}
	if _, err := os.Stat(filepath.Join(home, "conf", "logback.xml")); err == nil {
		r.add(Finding{Level: Note, Subject: subject, Code: "logback", What: "conf/logback.xml is not read", Why: "files, patterns and retention are Canal's own", Repair: "canald.log.level and canald.log.format change what they can"})
	}
	if _, err := os.Stat(filepath.Join(home, "plugin")); err == nil {
		r.add(Finding{Level: Note, Subject: subject, Code: "plugin", What: "plugin and lib are not read", Why: "they hold Java's archives", Repair: ""})
	}
	r.add(Finding{Level: Note, Subject: subject, Code: "differences", What: "docs/COMPATIBILITY.md lists every known difference with its reason", Why: "", Repair: ""})
}
