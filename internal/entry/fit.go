package entry

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/schema"
)

// MismatchError is returned for a table whose known structure is not the one
// that its row images were written with.
type MismatchError struct {
	Schema, Table string
	Reason        string   // the first difference
	Binlog        []string // what the binlog says of each column
	Known         []string // what was known of each column; nil when nothing was
}

// Error begins with Canal's own words, which operators search for.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("column size is not match for table:%s.%s,%d vs %d (%s); in the binlog: %s; known: %s",
		e.Schema, e.Table, len(e.Binlog), len(e.Known), e.Reason, list(e.Binlog), list(e.Known))
}

// mostListed bounds the columns that an error shows of each side.
const mostListed = 64

func list(columns []string) string {
	if len(columns) > mostListed {
		return strings.Join(columns[:mostListed], ", ") + fmt.Sprintf(" and %d more", len(columns)-mostListed)
	}
	return "(" + strings.Join(columns, ", ") + ")"
}

// Fit tells whether a structure is the one that a table map was written with, as
// far as the map can tell: the number of columns, their types, and what the
// optional metadata adds. The name rowID is that of Options. The error is a *MismatchError.
func Fit(t *schema.Table, m *event.TableMap, o *event.Optional, rowID string) error {
	reason := ""
	columns := t.All()
	if n := len(m.Columns) - hiddenColumns(t, m); n != len(columns) && !implicitRowID(t, m, rowID) {
		reason = "the number of columns differs"
	}
	for i := 0; reason == "" && i < len(columns); i++ {
		reason = differs(&columns[i], i, m.Columns[i], o)
	}
	if reason == "" {
		reason = keyDiffers(t, o)
	}
	if reason == "" {
		return nil
	}
	e := &MismatchError{Schema: t.Schema, Table: t.Name, Reason: reason}
	for i := range m.Columns {
		e.Binlog = append(e.Binlog, describe(i, m.Columns[i], o))
	}
	for _, c := range columns {
		e.Known = append(e.Known, c.Name+" "+c.Type)
	}
	return e
}

// hiddenColumns is how many columns at the end of the map are no columns of the
// table: MariaDB keeps a number for each unique key over a whole text or by hash.
func hiddenColumns(t *schema.Table, m *event.TableMap) int {
	known := len(t.All())
	hidden := len(m.Columns) - known
	if hidden <= 0 || t.HashKeys < hidden {
		return 0
	}
	for _, c := range m.Columns[known:] {
		if c.Type != event.ColLongLong {
			return 0
		}
	}
	return hidden
}

// differs is empty when a column may be the one of the map.
func differs(sc *schema.Column, at int, mc event.Column, o *event.Optional) string {
	if o.Names != nil && !strings.EqualFold(string(o.Names[at]), sc.Name) {
		return fmt.Sprintf("column %d is called %s, not %s", at, o.Names[at], sc.Name)
	}
	if !typeFits(sc.Type, mc) {
		return fmt.Sprintf("column %d, %s, is a %s, not %s", at, sc.Name, describe(at, mc, o), sc.Type)
	}
	if o.Unsigned != nil && mc.Type.IsNumber() && o.Unsigned[at] != sc.Unsigned {
		return fmt.Sprintf("column %d, %s, differs in UNSIGNED", at, sc.Name)
	}
	return ""
}

// keyDiffers compares primary keys. Sources also tell the first unique key as
// one where the table has no primary key, so only a known one can differ.
func keyDiffers(t *schema.Table, o *event.Optional) string {
	if o.Key == nil {
		return ""
	}
	known := false
	for _, c := range t.Columns {
		known = known || c.Key
	}
	for i, c := range t.Columns {
		if known && c.Key != o.Key[i] {
			return "the primary key differs at column " + c.Name
		}
	}
	return ""
}

// describe is what a map says of a column.
func describe(at int, c event.Column, o *event.Optional) string {
	s := typeName(c)
	if o.Unsigned != nil && o.Unsigned[at] && c.Type.IsNumber() {
		s += " unsigned"
	}
	if o.Names != nil {
		s = string(o.Names[at]) + " " + s
	}
	return s
}

// typeName is the type of a map's column in words, with what the map knows of it.
func typeName(c event.Column) string {
	n := strconv.Itoa(int(c.Meta))
	fraction := func(name string) string {
		if c.Meta == 0 {
			return name
		}
		return name + "(" + n + ")"
	}
	switch c.Type {
	case event.ColTiny:
		return "tinyint"
	case event.ColShort:
		return "smallint"
	case event.ColInt24:
		return "mediumint"
	case event.ColLong:
		return "int"
	case event.ColLongLong:
		return "bigint"
	case event.ColFloat:
		return "float"
	case event.ColDouble:
		return "double"
	case event.ColNewDecimal:
		return fmt.Sprintf("decimal(%d,%d)", c.Meta>>8, c.Meta&0xff)
	case event.ColBit:
		return "bit(" + n + ")"
	case event.ColYear:
		return "year"
	case event.ColDate, event.ColNewDate:
		return "date"
	case event.ColTime, event.ColDatetime, event.ColTimestamp:
		return map[event.ColumnType]string{event.ColTime: "time", event.ColDatetime: "datetime", event.ColTimestamp: "timestamp"}[c.Type]
	case event.ColTime2:
		return fraction("time")
	case event.ColDatetime2:
		return fraction("datetime")
	case event.ColTimestamp2:
		return fraction("timestamp")
	case event.ColEnum:
		return "enum"
	case event.ColSet:
		return "set"
	case event.ColString:
		return "char of " + n + " bytes"
	case event.ColVarchar, event.ColVarString, event.ColMariaVarcharCompr:
		return "varchar of " + n + " bytes"
	case event.ColBlob, event.ColTinyBlob, event.ColMediumBlob, event.ColLongBlob, event.ColMariaBlobCompr:
		return "blob or text with " + n + " bytes of length"
	case event.ColJSON:
		return "json"
	case event.ColGeometry:
		return "geometry"
	case event.ColVector:
		return "vector"
	}
	return "type " + strconv.Itoa(int(c.Type))
}

// typeFits tells whether a column declared so may be of the map's type. A text
// that is not known fits everything.
func typeFits(text string, c event.Column) bool {
	word, args := splitType(text)
	is := func(types ...event.ColumnType) bool {
		return slices.Contains(types, c.Type)
	}
	isBlob := is(event.ColBlob, event.ColTinyBlob, event.ColMediumBlob, event.ColLongBlob, event.ColMariaBlobCompr)
	isVarchar := is(event.ColVarchar, event.ColVarString, event.ColMariaVarcharCompr)
	switch word {
	case "tinyint", "bool", "boolean", "int1":
		return is(event.ColTiny)
	case "smallint", "int2":
		return is(event.ColShort)
	case "mediumint", "middleint", "int3":
		return is(event.ColInt24)
	case "int", "integer", "int4":
		return is(event.ColLong)
	case "bigint", "int8", "serial":
		return is(event.ColLongLong)
	case "decimal", "dec", "numeric", "fixed":
		return is(event.ColNewDecimal) && decimalFits(args, c.Meta) || is(event.ColDecimalOld)
	case "float", "float4":
		return is(event.ColFloat)
	case "double", "float8":
		return is(event.ColDouble)
	case "real":
		return is(event.ColDouble, event.ColFloat)
	case "bit":
		return is(event.ColBit) && int(c.Meta) == number(args, 1)
	case "year":
		return is(event.ColYear)
	case "date":
		return is(event.ColDate, event.ColNewDate)
	case "time":
		return is(event.ColTime) || is(event.ColTime2) && int(c.Meta) == number(args, 0)
	case "datetime":
		return is(event.ColDatetime) || is(event.ColDatetime2) && int(c.Meta) == number(args, 0)
	case "timestamp":
		return is(event.ColTimestamp) || is(event.ColTimestamp2) && int(c.Meta) == number(args, 0)
	case "char", "character", "nchar":
		return is(event.ColString) && charFits(number(args, 1), int(c.Meta)) || isVarchar
	case "varchar", "nvarchar", "varcharacter":
		return is(event.ColMariaVarcharCompr) || isVarchar && charFits(number(args, 0), int(c.Meta)) || isBlob
	case "binary":
		return is(event.ColString) && int(c.Meta) == number(args, 1)
	case "varbinary":
		return isVarchar && (int(c.Meta) == number(args, 0) || is(event.ColMariaVarcharCompr)) || isBlob
	case "tinytext", "tinyblob":
		return isBlob && c.Meta == 1
	case "text", "blob":
		return isBlob && (c.Meta == 2 || args != "")
	case "mediumtext", "mediumblob":
		return isBlob && c.Meta == 3
	case "longtext", "longblob":
		return isBlob && c.Meta == 4
	case "long":
		return isBlob
	case "json":
		return is(event.ColJSON) || isBlob
	case "enum":
		return is(event.ColEnum) && int(c.Meta) == enumBytes(len(splitMembers(args)))
	case "set":
		return is(event.ColSet) && int(c.Meta) == setBytes(len(splitMembers(args)))
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return is(event.ColGeometry)
	case "vector":
		return is(event.ColVector) || isVarchar
	case "inet4", "inet6", "uuid":
		return is(event.ColString)
	}
	return true
}

// splitType cuts a type's text into its first word, in lower case, and what
// stands in the brackets behind it.
func splitType(text string) (word, args string) {
	i := strings.IndexAny(text, "( ")
	if i < 0 {
		return strings.ToLower(text), ""
	}
	word = strings.ToLower(text[:i])
	if text[i] != '(' {
		return word, ""
	}
	j := strings.LastIndexByte(text, ')')
	if j < i {
		return word, ""
	}
	return word, text[i+1 : j]
}

func number(args string, without int) int {
	if args == "" {
		return without
	}
	n, err := strconv.Atoi(strings.TrimSpace(args))
	if err != nil {
		return without
	}
	return n
}

// defaultPrecision is a DECIMAL's without arguments.
const defaultPrecision = 10

func decimalFits(args string, meta uint16) bool {
	p, s, both := strings.Cut(args, ",")
	precision, scale := number(p, defaultPrecision), 0
	if both {
		scale = number(s, 0)
	}
	if precision == 0 {
		precision = defaultPrecision // DECIMAL(0) is DECIMAL
	}
	return int(meta>>8) == precision && int(meta&0xff) == scale
}

// mostBytesPerCharacter is the widest character set's.
const mostBytesPerCharacter = 4

// charFits tells whether n characters of some character set can be so many bytes.
func charFits(n, bytes int) bool {
	if n <= 0 {
		return true
	}
	return bytes%n == 0 && bytes/n >= 1 && bytes/n <= mostBytesPerCharacter
}

func enumBytes(members int) int {
	if members < 256 {
		return 1
	}
	return 2
}

func setBytes(members int) int {
	if n := (members + 7) / 8; n <= 4 {
		return max(n, 1)
	}
	return 8
}
