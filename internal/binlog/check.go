package binlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/position"
)

// ErrPrecondition is wrapped by errors that only a change at the source or in
// the configuration can end; the text says which statement that is.
var ErrPrecondition = errors.New("source is not set up for replication")

// check looks at what a source must have before its binlog is of use.
func (s *session) check(ctx context.Context, cfg Config, log *zap.Logger) error {
	logBin, found, err := s.variable(ctx, "log_bin")
	if err != nil {
		return err
	}
	if found && strings.EqualFold(logBin, "OFF") {
		return fmt.Errorf("%w: the binary log is off; set log_bin=mysql-bin and server_id under [mysqld] in the source's my.cnf and restart it", ErrPrecondition)
	}
	format, found, err := s.variable(ctx, "binlog_format")
	if err != nil {
		return err
	}
	if !found {
		format = "ROW" // servers that know no other have no variable for it
	}
	if !allowed(cfg.Formats, format) {
		return fmt.Errorf("%w: Unsupported BinlogFormat %s; repair on the source: SET GLOBAL binlog_format = 'ROW', and binlog_format=ROW in my.cnf", ErrPrecondition, format)
	}
	if !strings.EqualFold(format, "ROW") {
		log.Warn("source does not log rows: changes logged as statements carry no rows; repair on the source: SET GLOBAL binlog_format = 'ROW'",
			zap.String("binlog_format", format))
	}
	image, found, err := s.variable(ctx, "binlog_row_image")
	if err != nil {
		return err
	}
	if !found {
		image = "FULL"
	}
	if cfg.GTID {
		if names, err := s.writesGTIDs(ctx); err != nil {
			return err
		} else if !names {
			log.Warn("the source gives transactions no GTIDs: canal.instance.gtidon has no effect, and places are files and offsets; repair on the source: gtid_mode=ON and enforce_gtid_consistency=ON in my.cnf")
		}
	}
	if !allowed(cfg.Images, image) {
		return fmt.Errorf("%w: Unsupported BinlogImage %s; repair on the source: SET GLOBAL binlog_row_image = 'FULL'", ErrPrecondition, image)
	}
	return nil
}

func allowed(list []string, value string) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), value) })
}

// status asks where the binlog ends.
func (s *session) status(ctx context.Context) (Status, error) {
	statements := []string{"SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"}
	if major, minor, _ := event.Version(s.version); !s.maria && (major > 8 || major == 8 && minor >= 4) {
		slices.Reverse(statements)
	}
	var res *mysql.Result
	var err error
	for _, sql := range statements {
		if res, err = s.query(ctx, sql); err == nil || !isCode(err, mysql.ER_PARSE_ERROR) {
			break
		}
	}
	if err != nil {
		if isCode(err, mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR) {
			return Status{}, fmt.Errorf("%w: %w; repair on the source: GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO the canal account", ErrPrecondition, err)
		}
		return Status{}, err
	}
	if res.RowNumber() == 0 {
		return Status{}, fmt.Errorf("%w: the source has no binary log; set log_bin=mysql-bin in its my.cnf and restart it", ErrPrecondition)
	}
	file, err := res.GetString(0, 0)
	if err != nil {
		return Status{}, err
	}
	offset, err := res.GetUint(0, 1)
	if err != nil {
		return Status{}, err
	}
	st := Status{Position: position.Position{File: strings.Clone(file), Offset: offset}}
	if text, err := res.GetStringByName(0, "Executed_Gtid_Set"); err == nil {
		st.GTID = strings.Clone(text)
	}
	res.Close()
	res, err = s.query(ctx, "SELECT UNIX_TIMESTAMP(), @@server_id")
	if err != nil {
		return Status{}, err
	}
	defer res.Close()
	now, err := res.GetInt(0, 0)
	if err != nil {
		return Status{}, err
	}
	if st.Position.ServerID, err = res.GetInt(0, 1); err != nil {
		return Status{}, err
	}
	st.Position.Timestamp = now * 1000
	return st, nil
}

func isCode(err error, code uint16) bool {
	var e *mysql.MyError
	return errors.As(err, &e) && e.Code == code
}

// Files lists the source's binlog files, oldest first, over a connection of its
// own. The account may lack the right to see them.
func Files(ctx context.Context, cfg Config) ([]string, error) {
	s, err := dial(ctx, cfg.withDefaults())
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.files(ctx)
}
