package binlog

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/schema"
)

// maxBulkTables bounds what is read ahead at a start; further tables are read
// when their first row comes.
const maxBulkTables = 20000

// Statements on information_schema. They need no grammar of CREATE TABLE, so no
// definition is too new or too odd for them. Only the PRIMARY index counts as
// the key: COLUMN_KEY says PRI for a lone unique key too.
const (
	columnsSQL = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE %s ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
	keysSQL    = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE INDEX_NAME = 'PRIMARY' AND %s"
	noSystem   = "TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'sys', 'mysql')"
)

// loadTables reads the structures that the condition selects and wanted accepts.
func (s *session) loadTables(ctx context.Context, where string, wanted func(schema.Name) bool, most int) (map[schema.Name]*schema.Table, error) {
	tables := map[schema.Name]*schema.Table{}
	var last *schema.Table
	types := map[string]string{} // one copy of each type text
	err := s.stream(ctx, fmt.Sprintf(columnsSQL, where), func(row []mysql.FieldValue) error {
		if len(row) != 4 {
			return fmt.Errorf("%d columns instead of 4", len(row))
		}
		name := schema.Name{Schema: text(row[0]), Table: text(row[1])}
		if last == nil || last.Schema != name.Schema || last.Name != name.Table {
			last = nil
			if wanted != nil && !wanted(name) || len(tables) >= most {
				return nil
			}
			last = &schema.Table{Schema: name.Schema, Name: name.Table}
			tables[name] = last
		}
		t, ok := types[string(row[3].AsString())]
		if !ok {
			raw := text(row[3])
			t = schema.CleanType(raw)
			types[raw] = t
		}
		last.Columns = append(last.Columns, schema.Column{Name: text(row[2]), Type: t, Unsigned: schema.Unsigned(t)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(tables) == 0 {
		return tables, nil
	}
	err = s.stream(ctx, fmt.Sprintf(keysSQL, where), func(row []mysql.FieldValue) error {
		if len(row) != 3 {
			return fmt.Errorf("%d columns instead of 3", len(row))
		}
		t := tables[schema.Name{Schema: text(row[0]), Table: text(row[1])}]
		if t == nil {
			return nil
		}
		column := string(row[2].AsString())
		for i := range t.Columns {
			if t.Columns[i].Name == column {
				t.Columns[i].Key = true
			}
		}
		return nil
	})
	if err != nil || !s.maria {
		return tables, err
	}
	return tables, s.loadExtras(ctx, where, tables)
}

// Statements on what MariaDB keeps in row images beside the columns: versions of
// rows by columns that nobody declared, and numbers of unique keys over whole texts.
const (
	versionedSQL = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES t WHERE TABLE_TYPE = 'SYSTEM VERSIONED' AND %s " +
		"AND NOT EXISTS (SELECT * FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME AND c.GENERATION_EXPRESSION = 'ROW START')"
	hashKeysSQL = "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME FROM information_schema.STATISTICS s WHERE INDEX_TYPE = 'HASH' AND NON_UNIQUE = 0 AND %s " +
		"AND EXISTS (SELECT * FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = s.TABLE_SCHEMA AND t.TABLE_NAME = s.TABLE_NAME AND ENGINE NOT IN ('MEMORY', 'NDB'))"
)

func (s *session) loadExtras(ctx context.Context, where string, tables map[schema.Name]*schema.Table) error {
	each := func(sql string, found func(t *schema.Table)) error {
		return s.stream(ctx, fmt.Sprintf(sql, where), func(row []mysql.FieldValue) error {
			if len(row) < 2 {
				return fmt.Errorf("%d columns instead of 2", len(row))
			}
			if t := tables[schema.Name{Schema: text(row[0]), Table: text(row[1])}]; t != nil {
				found(t)
			}
			return nil
		})
	}
	if err := each(hashKeysSQL, func(t *schema.Table) { t.HashKeys++ }); err != nil {
		return err
	}
	if !s.versions() {
		return nil
	}
	return each(versionedSQL, func(t *schema.Table) { t.Versioned = true })
}

// versions tells whether the source knows versions of rows (MariaDB 10.3).
func (s *session) versions() bool {
	major, minor, _ := event.Version(s.version)
	return s.maria && (major > 10 || major == 10 && minor >= 3)
}

func text(v mysql.FieldValue) string { return string(v.AsString()) }

// loadTable reads one table as it is now; nil when there is none of that name.
func (s *session) loadTable(ctx context.Context, name schema.Name) (*schema.Table, error) {
	where := "TABLE_SCHEMA = '" + quote(name.Schema) + "' AND TABLE_NAME = '" + quote(name.Table) + "'"
	tables, err := s.loadTables(ctx, where, nil, 2)
	if err != nil {
		return nil, err
	}
	if t := tables[name]; t != nil {
		return t, nil
	}
	for _, t := range tables { // the server's names may differ in case
		t.Schema, t.Name = name.Schema, name.Table
		return t, nil
	}
	return nil, nil
}

// quote escapes a name for a string literal.
func quote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s)
}

// Structures reads the structures of all tables that the account sees, but for
// the server's own.
func Structures(ctx context.Context, cfg Config) (map[schema.Name]*schema.Table, error) {
	s, err := dial(ctx, cfg.withDefaults())
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.loadTables(ctx, noSystem, nil, math.MaxInt)
}
