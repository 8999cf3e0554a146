package binlog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/canald/canald/internal/position"
)

// Facts are what a look at a source found, for those who check an installation.
// What the account may not see is empty, with the reason in the error beside it.
type Facts struct {
	Version   string
	MariaDB   bool
	Variables map[string]string // of probedVariables, those that the server has

	ClockSkew time.Duration // of the source's clock before this host's, to a second

	Status    Status
	StatusErr error

	Files    []string // of the binlog, oldest first
	FilesErr error

	Replicas    []Replica // that registered; an id may be anybody's
	ReplicasErr error

	DumpErr error // of a dump that was begun at the end of the binlog and given up at once

	Tables    []string // schema.table of all that the account may see, up to maxProbedTables
	TablesErr error
}

// Replica is one line of SHOW REPLICAS.
type Replica struct {
	ID   uint32
	Host string
}

// maxProbedTables bounds what is read of the list of tables.
const maxProbedTables = 100_000

var probedVariables = []string{
	"log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata", "binlog_row_value_options", "server_id", "time_zone",
	"system_time_zone", "expire_logs_days", "binlog_expire_logs_seconds", "require_secure_transport", "gtid_mode", "gtid_purged", "max_connections",
	"binlog_do_db", "binlog_ignore_db",
}

// Probe looks at a source over a connection of its own. The error is that of
// connecting; whatever else goes wrong is in the facts.
func Probe(ctx context.Context, cfg Config) (Facts, error) {
	cfg = cfg.withDefaults()
	s, err := dial(ctx, cfg)
	if err != nil {
		return Facts{}, err
	}
	defer s.close()
	f := Facts{Version: s.version, MariaDB: s.maria, Variables: map[string]string{}}
	for _, name := range probedVariables {
		v, found, err := s.variable(ctx, name)
		if err != nil {
			return f, err
		}
		if found {
			f.Variables[name] = v
		}
	}
	if f.ClockSkew, err = s.clockSkew(ctx); err != nil {
		return f, err
	}
	f.Status, f.StatusErr = s.status(ctx)
	f.Files, f.FilesErr = s.files(ctx)
	f.Replicas, f.ReplicasErr = s.replicas(ctx)
	f.Tables, f.TablesErr = s.tableNames(ctx)
	if f.StatusErr == nil {
		f.DumpErr = tryDump(ctx, cfg, f.Status.Position)
	}
	return f, nil
}

// Replicas lists those that registered at a source, over a connection of its own.
func Replicas(ctx context.Context, cfg Config) ([]Replica, error) {
	s, err := dial(ctx, cfg.withDefaults())
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.replicas(ctx)
}

func (s *session) clockSkew(ctx context.Context) (time.Duration, error) {
	before := time.Now()
	res, err := s.query(ctx, "SELECT UNIX_TIMESTAMP()")
	if err != nil {
		return 0, err
	}
	defer res.Close()
	there, err := res.GetInt(0, 0)
	if err != nil {
		return 0, err
	}
	here := before.Add(time.Since(before) / 2)
	return time.Unix(there, 0).Sub(here).Round(time.Second), nil
}

// files lists the source's binlog files, oldest first.
func (s *session) files(ctx context.Context) ([]string, error) {
	res, err := s.query(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return nil, err
	}
	defer res.Close()
	files := make([]string, res.RowNumber())
	for i := range files {
		name, err := res.GetString(i, 0)
		if err != nil {
			return nil, err
		}
		files[i] = strings.Clone(name)
	}
	return files, nil
}

func (s *session) replicas(ctx context.Context) ([]Replica, error) {
	res, err := s.query(ctx, "SHOW REPLICAS")
	if isCode(err, mysql.ER_PARSE_ERROR) {
		res, err = s.query(ctx, "SHOW SLAVE HOSTS")
	}
	if err != nil {
		return nil, err
	}
	defer res.Close()
	var out []Replica
	for i := range res.RowNumber() {
		id, err := res.GetUint(i, 0)
		if err != nil {
			return nil, err
		}
		host, _ := res.GetString(i, 1)
		out = append(out, Replica{ID: uint32(id), Host: strings.Clone(host)})
	}
	return out, nil
}

func (s *session) tableNames(ctx context.Context) ([]string, error) {
	var out []string
	err := s.stream(ctx, "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type='BASE TABLE' LIMIT "+strconv.Itoa(maxProbedTables),
		func(row []mysql.FieldValue) error {
			if len(row) != 2 {
				return fmt.Errorf("%d columns where two were asked for", len(row))
			}
			out = append(out, string(row[0].AsString())+"."+string(row[1].AsString()))
			return nil
		})
	return out, err
}

// tryDump shows that the account may dump, which no list of grants tells for
// sure. The id is one that nobody uses, so that no replica is cut off.
func tryDump(ctx context.Context, cfg Config, at position.Position) error {
	cfg.ServerID = 1<<31 | rand.Uint32()>>1
	s, err := dial(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.close()
	d, err := s.startDump(ctx, cfg, at)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = s.raw.Close() })()
	_, err = d.event()
	return err
}
