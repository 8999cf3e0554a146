// Package tsdb keeps structures of tables in the two MySQL tables where Canal's
// Java servers keep them with mysql-tsdb.xml: meta_snapshot holds all tables of a
// destination at a place, meta_history the statements since. What one server wrote
// the other one reads, so either can take a destination over.
//
// An Archive belongs to one goroutine. It holds no connection: statements that
// change structures are rare.
package tsdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/ddl"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
)

// Config says where the two tables are.
type Config struct {
	Addr, Database, User, Password string
	Destination                    string
	Interval                       time.Duration // between two snapshots; none are made when it is not positive
	Keep                           time.Duration // of snapshots; for ever when it is not positive
}

// Archive is one destination's part of the tables.
type Archive struct {
	cfg   Config
	log   *zap.Logger
	made  bool      // the tables are there
	begun bool      // a snapshot of the destination is there
	last  time.Time // when this process made or looked for a snapshot
	since int64     // ms, event time of the statement kept last
}

// New makes an archive; nothing is connected.
func New(cfg Config, log *zap.Logger) *Archive {
	return &Archive{cfg: cfg, log: log}
}

// Statement is one that changed structures, and what surrounds it.
type Statement struct {
	At     position.Position
	Schema string      // the session's default database
	First  *ddl.Result // what Canal's parser makes of it, nil when it cannot read it
	SQL    string
	// OnDemand is true for a table that was read from the source because its rows
	// came; SQL is the statement that would make it.
	OnDemand bool
}

// Show asks the source for the statement that makes a table; it is empty for a view.
type Show func(ctx context.Context, n schema.Name) (string, error)

const within = 30 * time.Second // of one operation

// tables are Canal's, by the letter: a Java server reads and writes them.
var tables = []string{
	"CREATE TABLE IF NOT EXISTS `meta_history` (`id` bigint unsigned NOT NULL AUTO_INCREMENT, `gmt_create` datetime NOT NULL, `gmt_modified` datetime NOT NULL, " +
		"`destination` varchar(128) DEFAULT NULL, `binlog_file` varchar(64) DEFAULT NULL, `binlog_offest` bigint DEFAULT NULL, `binlog_master_id` varchar(64) DEFAULT NULL, " +
		"`binlog_timestamp` bigint DEFAULT NULL, `use_schema` varchar(1024) DEFAULT NULL, `sql_schema` varchar(1024) DEFAULT NULL, `sql_table` varchar(1024) DEFAULT NULL, " +
		"`sql_text` longtext, `sql_type` varchar(256) DEFAULT NULL, `extra` text, PRIMARY KEY (`id`), " + keys,
	"CREATE TABLE IF NOT EXISTS `meta_snapshot` (`id` bigint unsigned NOT NULL AUTO_INCREMENT, `gmt_create` datetime NOT NULL, `gmt_modified` datetime NOT NULL, " +
		"`destination` varchar(128) DEFAULT NULL, `binlog_file` varchar(64) DEFAULT NULL, `binlog_offest` bigint DEFAULT NULL, `binlog_master_id` varchar(64) DEFAULT NULL, " +
		"`binlog_timestamp` bigint DEFAULT NULL, `data` longtext, `extra` text, PRIMARY KEY (`id`), " + keys,
}

const keys = "UNIQUE KEY `binlog_file_offest` (`destination`,`binlog_master_id`,`binlog_file`,`binlog_offest`), KEY `destination` (`destination`), " +
	"KEY `destination_timestamp` (`destination`,`binlog_timestamp`), KEY `gmt_modified` (`gmt_modified`))"

// with runs one operation over a connection of its own.
func (a *Archive) with(ctx context.Context, do func(conn *client.Conn) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // the library trusts what it reads
			err = fmt.Errorf("the server's answer cannot be read: %v", p)
		}
		if err != nil {
			a.made = false // they may be gone
			err = fmt.Errorf("structures in the tables of canal.instance.tsdb.url at %s: %w", a.cfg.Addr, err)
		}
	}()
	dialer := func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		deadline, _ := ctx.Deadline()
		return c, c.SetDeadline(deadline)
	}
	conn, err := client.ConnectWithDialer(ctx, "tcp", a.cfg.Addr, a.cfg.User, a.cfg.Password, a.cfg.Database, dialer)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if res, err := conn.Execute("SET NAMES utf8mb4"); err == nil { // older than 5.5.3 has none
		res.Close()
	}
	if !a.made {
		a.make(conn)
	}
	return do(conn)
}

// make makes the tables. An account without the right may do with those that are there.
func (a *Archive) make(conn *client.Conn) {
	a.made = true
	for _, sql := range tables {
		res, err := conn.Execute(sql)
		if err != nil {
			a.log.Warn("a table for structures cannot be made; it may be there", zap.Error(err))
			continue
		}
		res.Close()
	}
}

// Numbers of MySQL's errors.
const (
	errDuplicate = 1062
	errNoTable   = 1146
)

// Probe tells whether the two tables can be used, and whether they are there at
// all. It changes nothing.
func Probe(ctx context.Context, cfg Config) (there bool, err error) {
	a := New(cfg, zap.NewNop())
	a.made = true // they are not to be made
	there = true
	err = a.with(ctx, func(conn *client.Conn) error {
		for _, name := range []string{"meta_history", "meta_snapshot"} {
			res, err := conn.Execute("SELECT * FROM `" + name + "` LIMIT 0")
			var e *mysql.MyError
			if errors.As(err, &e) && e.Code == errNoTable {
				there = false
				continue
			}
			if err != nil {
				return err
			}
			res.Close()
		}
		return nil
	})
	return there && err == nil, err
}

// insert adds a row unless one of its place is there.
func insert(conn *client.Conn, sql string, args ...any) error {
	res, err := conn.Execute(sql, args...)
	var e *mysql.MyError
	if errors.As(err, &e) && e.Code == errDuplicate {
		return nil
	}
	if err != nil {
		return err
	}
	res.Close()
	return nil
}

// Keep keeps a statement. It returns when the row is stored, or was there before.
func (a *Archive) Keep(ctx context.Context, s Statement) error {
	err := a.with(ctx, func(conn *client.Conn) error {
		var schemaName, table, kind, extra any
		if s.First != nil {
			schemaName, table, kind = s.First.Schema, s.First.Table, s.First.Kind.String()
		}
		if s.OnDemand {
			extra = "first"
		}
		return insert(conn, "INSERT INTO meta_history (gmt_create, gmt_modified, destination, binlog_file, binlog_offest, binlog_master_id, binlog_timestamp, "+
			"use_schema, sql_schema, sql_table, sql_text, sql_type, extra) VALUES (now(), now(), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			a.cfg.Destination, s.At.File, s.At.Offset, strconv.FormatInt(s.At.ServerID, 10), s.At.Timestamp, s.Schema, schemaName, table, s.SQL, kind, extra)
	})
	if err == nil && !s.OnDemand {
		a.since = s.At.Timestamp
	}
	return err
}

// Java marks its first snapshot, of structures as they were then, by a place that
// comes before all others.
const (
	firstFile   = "0"
	firstServer = "-1"
	firstMillis = -2
)

// Begin keeps all tables if the destination has no snapshot yet.
func (a *Archive) Begin(ctx context.Context, all []*schema.Table, mode ddl.Mode, show Show) error {
	if a.begun { // a dump begins anew after each break
		return nil
	}
	found := false
	err := a.with(ctx, func(conn *client.Conn) error {
		res, err := conn.Execute("SELECT id FROM meta_snapshot WHERE destination = ? LIMIT 1", a.cfg.Destination)
		if err != nil {
			return err
		}
		defer res.Close()
		found = res.RowNumber() > 0
		return nil
	})
	a.last = time.Now()
	if err != nil || found {
		a.begun = found
		return err
	}
	data, err := snapshot(ctx, all, mode, show)
	if err != nil {
		return err
	}
	err = a.with(ctx, func(conn *client.Conn) error {
		return a.put(conn, position.Position{File: firstFile, Timestamp: firstMillis}, firstServer, data)
	})
	if a.begun = err == nil; a.begun {
		a.log.Info("first snapshot of structures kept", zap.Int("tables", len(all)))
	}
	return err
}

func (a *Archive) put(conn *client.Conn, at position.Position, server, data string) error {
	return insert(conn, "INSERT INTO meta_snapshot (gmt_create, gmt_modified, destination, binlog_file, binlog_offest, binlog_master_id, binlog_timestamp, data) "+
		"VALUES (now(), now(), ?, ?, ?, ?, ?, ?)", a.cfg.Destination, at.File, at.Offset, server, at.Timestamp, data)
}

// Due tells whether a snapshot should be made ahead of a statement: one a period
// at most, and none between two statements of the same second, as places are told
// apart by their times.
func (a *Archive) Due(at position.Position) bool {
	return a.cfg.Interval > 0 && time.Since(a.last) >= a.cfg.Interval && a.since > 0 && at.Timestamp > a.since
}

// Snapshot keeps all tables as they are ahead of the statement at a place, and lets
// go of snapshots that are too old.
func (a *Archive) Snapshot(ctx context.Context, at position.Position, all []*schema.Table, mode ddl.Mode, show Show) error {
	data, err := snapshot(ctx, all, mode, show)
	if err != nil {
		return err
	}
	a.last = time.Now()
	a.log.Info("snapshot of structures kept", zap.Int("tables", len(all)), zap.String("at", at.String()))
	return a.with(ctx, func(conn *client.Conn) error {
		if err := a.put(conn, at, strconv.FormatInt(at.ServerID, 10), data); err != nil || a.cfg.Keep <= 0 {
			return err
		}
		res, err := conn.Execute("DELETE FROM meta_snapshot WHERE destination = ? AND binlog_timestamp > 0 AND binlog_timestamp < ?",
			a.cfg.Destination, time.Now().Add(-a.cfg.Keep).UnixMilli())
		if err != nil {
			return err
		}
		res.Close()
		return nil
	})
}

// mostRows bounds the statements that are read at a start.
const mostRows = 1_000_000

// Load returns the tables that held ahead of a place, or in GTID mode behind it;
// none when nothing is kept from before it. What cannot be read is left out, so
// that the source is asked for it.
func (a *Archive) Load(ctx context.Context, from position.Position, mode ddl.Mode) ([]*schema.Table, error) {
	if from.Timestamp <= 0 {
		return nil, nil
	}
	var set catalog
	err := a.with(ctx, func(conn *client.Conn) error {
		since, data, err := a.newest(conn, from.Timestamp)
		if err != nil || data == "" {
			return err
		}
		if set, err = readSnapshot(data, mode); err != nil {
			return fmt.Errorf("meta_snapshot of %s: %w", a.cfg.Destination, err)
		}
		unread := 0
		sql := fmt.Sprintf("SELECT binlog_file, binlog_offest, binlog_master_id, use_schema, sql_text FROM meta_history WHERE destination = '%s' AND binlog_timestamp >= %d "+
			"AND binlog_timestamp <= %d ORDER BY binlog_timestamp, id LIMIT %d", mysql.Escape(a.cfg.Destination), since, from.Timestamp, mostRows)
		var res mysql.Result
		err = conn.ExecuteSelectStreaming(sql, &res, func(row []mysql.FieldValue) error {
			if len(row) != 5 {
				return fmt.Errorf("%d columns instead of 5", len(row))
			}
			offset, _ := strconv.ParseUint(text(row[1]), 10, 64)
			if !before(from, position.Position{File: text(row[0]), Offset: offset}, text(row[2])) {
				return nil
			}
			m := mode
			m.Schema = strings.Trim(text(row[3]), "`")
			if sql := text(row[4]); sql != "" && !set.apply(sql, m) {
				unread++
			}
			return nil
		}, nil)
		if err != nil {
			return err
		}
		a.log.Info("structures read from the tables of canal.instance.tsdb.url", zap.Int("tables", len(set)), zap.Int64("snapshot", since), zap.Int("not_understood", unread))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return set.list(), nil
}

// newest reads the newest snapshot from before a time, ms.
func (a *Archive) newest(conn *client.Conn, millis int64) (since int64, data string, err error) {
	res, err := conn.Execute("SELECT binlog_timestamp, data FROM meta_snapshot WHERE destination = ? AND binlog_timestamp < ? ORDER BY binlog_timestamp DESC, id DESC LIMIT 1",
		a.cfg.Destination, millis)
	if err != nil {
		return 0, "", err
	}
	defer res.Close()
	if res.RowNumber() == 0 {
		return 0, "", nil
	}
	if since, err = res.GetInt(0, 0); err != nil {
		return 0, "", err
	}
	data, err = res.GetString(0, 1)
	return since, strings.Clone(data), err
}

// before tells whether a statement had been read at a place. That of the place
// itself comes again, but in GTID mode.
func before(from, at position.Position, server string) bool {
	if from.ServerID != 0 && server != strconv.FormatInt(from.ServerID, 10) {
		return true // another server's places cannot be compared; its time is right
	}
	c := position.Compare(at, from)
	return c < 0 || c == 0 && from.GTID != ""
}

func text(v mysql.FieldValue) string {
	switch v.Type {
	case mysql.FieldValueTypeUnsigned:
		return strconv.FormatUint(v.AsUint64(), 10)
	case mysql.FieldValueTypeSigned:
		return strconv.FormatInt(v.AsInt64(), 10)
	}
	return string(v.AsString())
}
