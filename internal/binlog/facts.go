package binlog

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/render"
	"github.com/canald/canald/internal/schema"
)

// facts are what a source says of itself that decides how its binlog is read.
type facts struct {
	id         string // tells this source from another one
	fold       bool   // names of tables that differ in case only are equal
	collations entry.Collations
	gtids      bool   // its transactions have names
	rds        bool   // an RDS of Alibaba Cloud
	rowID      string // the name of the key that the source gives a table without one
}

// facts asks the source.
func (s *session) facts(ctx context.Context, addr string) (facts, error) {
	f := facts{collations: entry.Collations{Charsets: map[uint64]*render.Charset{}, Widths: map[uint64]int{}, MariaDB: s.maria}}
	uuid, found, err := s.variable(ctx, "server_uuid")
	if err != nil {
		return f, err
	}
	if f.id = uuid; !found {
		id, _, err := s.variable(ctx, "server_id")
		if err != nil {
			return f, err
		}
		f.id = addr + "/" + id
	}
	if f.gtids, err = s.writesGTIDs(ctx); err != nil {
		return f, err
	}
	lower, _, err := s.variable(ctx, "lower_case_table_names")
	if err != nil {
		return f, err
	}
	f.fold = lower != "" && lower != "0"
	if _, f.rds, err = s.variable(ctx, `rds\_%`); err != nil {
		return f, err
	}
	_, polarX, err := s.variable(ctx, `polarx\_%`)
	if err != nil {
		return f, err
	}
	switch {
	case polarX:
		f.rowID = "_drds_implicit_id_"
	case f.rds:
		f.rowID = "__#alibaba_rds_row_id#__"
	}
	return f, s.collations(ctx, &f)
}

// serviceTables are those of Alibaba Cloud's RDS for its own watch, whose
// structures nobody can ask for.
var serviceTables = map[schema.Name]*schema.Table{
	{Schema: "test", Table: "heartbeat"}: {Columns: []schema.Column{
		{Name: "id", Type: "smallint(6)", Key: true}, {Name: "ts", Type: "int(11)"},
	}},
	{Schema: "mysql", Table: "ha_health_check"}: {Columns: []schema.Column{
		{Name: "id", Type: "bigint(20)"}, {Name: "type", Type: "char(1)", Key: true},
	}},
}

// serviceTable is the structure of such a table; nil for any other.
func (f *facts) serviceTable(name schema.Name, columns int) *schema.Table {
	t := serviceTables[schema.Name{Schema: strings.ToLower(name.Schema), Table: strings.ToLower(name.Table)}]
	if !f.rds || t == nil || columns > len(t.Columns) {
		return nil
	}
	return &schema.Table{Schema: name.Schema, Name: name.Table, Columns: t.Columns[:columns]}
}

// widths tells whether the source shows integers with a width that nobody asked for.
func (s *session) widths() bool {
	major, minor, patch := event.Version(s.version)
	return s.maria || major < 8 || major == 8 && minor == 0 && patch < 19
}

// Statements on collations. Newer MariaDBs list the ones of all character sets
// in one table and their numbers in the other.
const (
	collationsSQL      = "SELECT c.ID, c.CHARACTER_SET_NAME, s.MAXLEN FROM information_schema.COLLATIONS c JOIN information_schema.CHARACTER_SETS s ON s.CHARACTER_SET_NAME = c.CHARACTER_SET_NAME WHERE c.ID IS NOT NULL"
	mariaCollationsSQL = "SELECT a.ID, a.CHARACTER_SET_NAME, s.MAXLEN FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY a JOIN information_schema.CHARACTER_SETS s ON s.CHARACTER_SET_NAME = a.CHARACTER_SET_NAME WHERE a.ID IS NOT NULL"
)

func (s *session) collations(ctx context.Context, f *facts) error {
	named := map[string]*render.Charset{}
	read := func(sql string) error {
		return s.stream(ctx, sql, func(row []mysql.FieldValue) error {
			if len(row) != 3 {
				return fmt.Errorf("%d columns instead of 3", len(row))
			}
			name := text(row[1])
			cs, ok := named[name]
			if !ok {
				cs = charsetOf(name)
				named[name] = cs
			}
			id := row[0].AsUint64()
			if row[0].Type == mysql.FieldValueTypeSigned {
				id = uint64(row[0].AsInt64())
			}
			f.collations.Charsets[id], f.collations.Widths[id] = cs, number(row[2])
			return nil
		})
	}
	if err := read(collationsSQL); err != nil {
		return err
	}
	if s.maria {
		_ = read(mariaCollationsSQL) // a column that older ones lack
	}
	return nil
}

func number(v mysql.FieldValue) int {
	switch v.Type {
	case mysql.FieldValueTypeUnsigned:
		return int(v.AsUint64())
	case mysql.FieldValueTypeSigned:
		return int(v.AsInt64())
	}
	n, _ := strconv.Atoi(text(v))
	return n
}

// mysqlCharsets are names that mean something else elsewhere, or nothing.
var mysqlCharsets = map[string]string{
	"latin1": "windows-1252", "latin2": "iso-8859-2", "latin5": "iso-8859-9", "latin7": "iso-8859-13", "greek": "iso-8859-7",
	"hebrew": "iso-8859-8", "ujis": "euc-jp", "eucjpms": "euc-jp", "sjis": "shift_jis", "cp932": "shift_jis", "koi8r": "koi8-r", "koi8u": "koi8-u",
	"tis620": "windows-874", "macroman": "macintosh", "cp850": "ibm850", "cp852": "ibm852", "cp866": "ibm866",
	"binary": "utf-8", // bytes as they are: mostly UTF-8
	"ucs2":   "utf-16be", "utf16": "utf-16be", "utf16le": "utf-16le",
}

// charsetOf finds a character set by the name that MySQL gives it; nil when
// there is no decoder for it.
func charsetOf(name string) *render.Charset {
	name = strings.ToLower(name)
	if other, ok := mysqlCharsets[name]; ok {
		name = other
	}
	cs, err := render.LookupCharset(name)
	if err != nil {
		return nil
	}
	return cs
}
