package tail

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/canald/canald/internal/binlog"
)

// look asks the source for all that following it needs. What it cannot do
// without is an error; notes tell what it would be better with. Both name the
// statement that repairs it.
func look(ctx context.Context, s Source, cfg binlog.Config) (notes []string, err error) {
	f, err := binlog.Probe(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return judge(s, f)
}

func judge(s Source, f binlog.Facts) (notes []string, err error) {
	var errs []error
	lacks := func(what, repair string) { errs = append(errs, fmt.Errorf("%s\n  repair: %s", what, repair)) }
	note := func(what, repair string) { notes = append(notes, what+"\n  repair: "+repair) }
	// How the source knows the account is its own affair: the host is the one
	// that SELECT CURRENT_USER() shows.
	grant := func(what, on string) string {
		return "GRANT " + what + " ON " + on + " TO '" + strings.ReplaceAll(s.User, "'", "''") + "'@'%'; (for % the host that SELECT CURRENT_USER() shows)"
	}
	if strings.EqualFold(f.Variables["log_bin"], "OFF") {
		lacks("the source writes no binary log", "log_bin=mysql-bin and server_id=1 under [mysqld] in its my.cnf, then restart it")
		return nil, errors.Join(errs...)
	}
	if v := f.Variables["binlog_format"]; v != "" && !strings.EqualFold(v, "ROW") {
		lacks("binlog_format is "+v+": changes are logged without their rows",
			"SET GLOBAL binlog_format = 'ROW'; and binlog_format=ROW in my.cnf; sessions that are open keep what they have")
	}
	if v := f.Variables["binlog_row_image"]; v != "" && !strings.EqualFold(v, "FULL") {
		note("binlog_row_image is "+v+": rows show the columns that the source logs, not all", "SET GLOBAL binlog_row_image = 'FULL';")
	}
	if v := f.Variables["binlog_row_value_options"]; strings.Contains(strings.ToUpper(v), "PARTIAL_JSON") {
		note("binlog_row_value_options is "+v+": changes of JSON columns show as expressions", "SET GLOBAL binlog_row_value_options = '';")
	}
	if f.StatusErr != nil {
		lacks("the account may not ask where the binary log ends: "+f.StatusErr.Error(), grant("REPLICATION CLIENT", "*.*"))
	}
	switch {
	case f.DumpErr != nil:
		lacks("the account may not read the binary log: "+f.DumpErr.Error(), grant("REPLICATION SLAVE", "*.*"))
	case f.StatusErr != nil && !f.MariaDB && f.ReplicasErr != nil && binlog.IsRefusal(f.ReplicasErr):
		// Without a place no dump was tried. MySQL asks the same right of those
		// who list replicas.
		lacks("the account may not read the binary log: "+f.ReplicasErr.Error(), grant("REPLICATION SLAVE", "*.*"))
	}
	if f.TablesErr == nil {
		what, all := sees(s.Filter, f.Tables)
		switch {
		case what:
		case all:
			notes = append(notes, "no table matches yet; one that is made later is shown")
		case s.starred():
			lacks("the account sees no table that matches", grant("SELECT", "*.*"))
		default:
			for _, name := range s.schemas {
				lacks("the account sees no table of "+name+" that matches; either there is none, or it lacks the right", grant("SELECT", quoteName(name)+".*"))
			}
		}
	}
	return notes, errors.Join(errs...)
}

// sees tells whether a table that the account sees matches the filter, and
// whether the account seems to see all there are.
func sees(filter string, tables []string) (matches, all bool) {
	wanted, err := regexp.Compile("(?i)^(?:" + strings.ReplaceAll(filter, ",", "|") + ")$")
	if err != nil {
		return true, false
	}
	for _, t := range tables {
		schema, _, _ := strings.Cut(t, ".")
		switch strings.ToLower(schema) {
		case "performance_schema", "information_schema", "sys": // shown to everybody
			continue
		case "mysql": // shown to those who see everything
			all = true
		}
		matches = matches || wanted.MatchString(t)
	}
	return matches, all
}
