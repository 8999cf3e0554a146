package tail

import (
	"encoding/hex"
	"strings"

	"github.com/canald/canald/client/canalpb"
)

// The statements in front of the rows: the rows' texts are UTF-8, values are
// stored as they are given, and what does not fit is an error.
const (
	sqlNames = "SET NAMES utf8mb4;"
	sqlMode  = "SET sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';"
	sqlZone  = "SET time_zone = '+00:00';"
)

func quoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

var escapeText = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", `\0`, "\x1a", `\Z`)

// sqlText quotes a text. What a terminal would act on is written as bytes.
func sqlText(s string) string {
	escaped := escapeText.Replace(s)
	if strings.IndexFunc(escaped, moves) >= 0 {
		return "_utf8mb4 x'" + hex.EncodeToString([]byte(s)) + "'"
	}
	return "'" + escaped + "'"
}

func sqlValue(c *canalpb.Column) string {
	if c.GetIsNull() {
		return "NULL"
	}
	switch kindOf(c) {
	case kindBytes:
		return "x'" + hex.EncodeToString(raw(c)) + "'"
	case kindNumber, kindFloat, kindMember: // a member's number needs no names
		return c.GetValue()
	default:
		return sqlText(text(c))
	}
}

// sqlMatch compares a column with its value. Beside a key that is enough as the
// server compares; without one, rows that a collation takes for equal differ.
func sqlMatch(c *canalpb.Column, exact bool) string {
	name := quoteName(columnName(c))
	value := sqlValue(c)
	if c.GetIsNull() {
		return name + " IS NULL"
	}
	switch kindOf(c) {
	case kindFloat: // half of the last bit of single precision is 6e-8 of the value
		return "ABS(" + name + " - " + value + ") <= 1e-7 * ABS(" + value + ")"
	case kindJSON:
		if c.GetSqlType() != sqlBlob {
			return name + " <=> CAST(" + value + " AS JSON)"
		}
	case kindText:
		switch typeName(c) {
		case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
			if exact {
				return name + " <=> " + value + " COLLATE utf8mb4_bin"
			}
		}
	default: // compared as they are
	}
	return name + " <=> " + value
}

func sqlRow(h *canalpb.Header, t canalpb.EventType, r *canalpb.RowData) string {
	table := quoteName(h.GetSchemaName()) + "." + quoteName(h.GetTableName())
	switch t {
	case canalpb.EventType_INSERT:
		var names, values []string
		for _, c := range r.GetAfterColumns() {
			names, values = append(names, quoteName(columnName(c))), append(values, sqlValue(c))
		}
		return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ");"
	case canalpb.EventType_DELETE:
		return "DELETE FROM " + table + where(r.GetBeforeColumns()) + " LIMIT 1;"
	default: // updates: nothing else has rows
	}
	var set []string
	for _, c := range r.GetAfterColumns() {
		if c.GetUpdated() {
			set = append(set, quoteName(columnName(c))+" = "+sqlValue(c))
		}
	}
	if len(set) == 0 {
		return "-- an update of " + printable(table, 0) + " that changes nothing"
	}
	return "UPDATE " + table + " SET " + strings.Join(set, ", ") + where(r.GetBeforeColumns()) + " LIMIT 1;"
}

// where names a row by its key, or by all of it when it has none.
func where(columns []*canalpb.Column) string {
	var key, all []string
	for _, c := range columns {
		if c.GetIsKey() {
			key = append(key, sqlMatch(c, false))
		}
	}
	if len(key) > 0 {
		return " WHERE " + strings.Join(key, " AND ")
	}
	for _, c := range columns {
		all = append(all, sqlMatch(c, true))
	}
	return " WHERE " + strings.Join(all, " AND ")
}
