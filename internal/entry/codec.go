package entry

import (
	"strings"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/render"
	"github.com/canald/canald/internal/schema"
)

// Options are the choices of an instance that decide how columns look.
type Options struct {
	Charset *render.Charset // of text columns and names; nil is UTF-8
	MariaDB bool            // the source is a MariaDB

	Form
	// Widths is true for a source that shows numbers with their display widths.
	Widths bool
	// Charsets, by the ids of collations, decode each text column by its own
	// character set, where the source tells it; nil decodes all by Charset.
	Charsets map[uint64]*render.Charset
	// RowID is the name of the key that RDS and PolarDB-X give a table without one,
	// as a last column that nobody declared; empty is a source that does not.
	RowID string

	// Optional is what the table map says beside the types; nil is nothing.
	Optional *event.Optional

	// Shown tells whether clients get a column of the table; nil shows all.
	Shown func(column string) bool
}

// valueKind selects the renderer of a column.
type valueKind uint8

const (
	valueInt valueKind = iota
	valueUint
	valueFloat
	valueDouble
	valueFloatOld
	valueDoubleOld
	valueDecimal
	valueDecimalFull
	valueBit
	valueYear
	valueDate
	valueTimeOld
	valueTime2
	valueTimeHires
	valueDatetimeOld
	valueDatetime2
	valueDatetimeHires
	valueTimestampOld
	valueTimestamp2
	valueTimestampHires
	valueEnum
	valueEnumName
	valueSet
	valueSetNames
	valueText   // in the instance's charset
	valueUTF8   // text whose charset is UTF-8
	valueBinary // bytes as ISO-8859-1
	valuePadded // the same, with zeros up to size a
	valueUUID   // of MariaDB
	valueInet   // of MariaDB: an address of a bytes
	valueJSON
	valueInflateText   // MariaDB COMPRESSED
	valueInflateBinary // MariaDB COMPRESSED
	valueNull          // a type that has no value
)

// lengthKind says how the size of a value in a row image is found.
type lengthKind uint8

const (
	lengthFixed   lengthKind = iota // column.size bytes
	lengthPrefix1                   // 1 byte of length first
	lengthPrefix2
	lengthPrefix3
	lengthPrefix4
)

// java.sql.Types codes that Canal sends.
const (
	sqlBit       = -7
	sqlTinyint   = -6
	sqlBigint    = -5
	sqlChar      = 1
	sqlDecimal   = 3
	sqlInteger   = 4
	sqlSmallint  = 5
	sqlReal      = 7
	sqlDouble    = 8
	sqlVarchar   = 12
	sqlDate      = 91
	sqlTime      = 92
	sqlTimestamp = 93
	sqlOther     = 1111
	sqlBlob      = 2004
	sqlClob      = 2005
)

// column is all that is known of a column before a value arrives: the bytes of
// its message up to the value, and after it.
type column struct {
	value  valueKind
	length lengthKind
	size   int // bytes of a fixed value
	a, b   int // precision and scale, digits of a fraction, number among the JSON columns

	// head is everything between the message's length and the updated flag,
	// wide the same for an unsigned value above the signed range (its sqlType
	// moves up), null the same for NULL.
	head, wide, null []byte
	tail             []byte // mysqlType
	json             bool   // counts in the bitmap of partial updates
	hidden           bool   // read and not sent
	changes          byte   // 0 for a column that never counts as updated, else 1
	charset          *render.Charset
	members          [][]byte // of an ENUM or SET that is sent by name
}

// Codec turns row images of one table version into entry bytes. It is immutable
// and shared by workers.
type Codec struct {
	Name    *TableName
	columns []column
	names   []string // for partial JSON, which is rendered with the column's name
	json    int      // JSON columns
	header  []byte   // schemaName and tableName, ready for a header
	tableID []byte   // RowChange up to rowDatas without eventType: tableId
	style   render.JSONStyle
	whole   bool // partial updates of JSON are applied
}

// Columns is the number of columns in the table's row images.
func (c *Codec) Columns() int { return len(c.columns) }

// Compile prepares the codec for a table map. The structure t is applied by
// position; the caller has seen to it that it fits (see Fit). Columns of the map
// that it lacks are not sent.
func Compile(t *schema.Table, m *event.TableMap, o Options) *Codec {
	if o.Charset == nil {
		o.Charset = utf8Charset
	}
	c := &Codec{
		Name:    &TableName{Schema: t.Schema, Table: t.Name},
		columns: make([]column, len(m.Columns)),
		names:   make([]string, len(m.Columns)),
		style:   render.JSONStyle{Charset: o.Charset, OldFloats: o.OldFloats, Server: o.ServerJSON},
		whole:   o.WholeJSON,
	}
	c.header = appendString(appendString(nil, 0x42, t.Schema), 0x4a, t.Name)
	c.tableID = appendVarint(append(c.tableID, 0x08), m.TableID)
	known := t.All()
	implicit := implicitRowID(t, m, o.RowID)
	for i, mc := range m.Columns {
		sc := schema.Column{}
		if i < len(known) {
			sc = known[i]
		} else if implicit {
			sc = schema.Column{Name: o.RowID, Type: "bigint", Key: true}
		}
		if o.ServerTypes {
			sc.Type = serverType(sc.Type, mc, o)
		}
		c.columns[i] = compileColumn(i, mc, &sc, o)
		c.columns[i].hidden = i >= len(known) && !implicit || o.Shown != nil && !o.Shown(sc.Name)
		if i >= len(known) {
			c.columns[i].changes = 0
		}
		c.names[i] = sc.Name
		if c.columns[i].json {
			c.columns[i].a = c.json
			c.json++
		}
	}
	return c
}

var utf8Charset = mustCharset("UTF-8")

func mustCharset(name string) *render.Charset {
	c, err := render.LookupCharset(name)
	if err != nil {
		panic(err)
	}
	return c
}

func compileColumn(index int, mc event.Column, sc *schema.Column, o Options) column {
	c := column{changes: 1}
	typeText := strings.ToLower(sc.Type)
	sqlType, wideType, nullType := 0, 0, 0
	fixed := func(v valueKind, size, sql int) { c.value, c.size, sqlType = v, size, sql }
	integer := func(size, sql, wide int) {
		fixed(valueInt, size, sql)
		if sc.Unsigned {
			c.value, wideType = valueUint, wide
		}
	}
	prefixed := func(bytes int) {
		c.length = lengthPrefix1 + lengthKind(min(max(bytes, 1), 4)-1)
	}
	text := func(sql int) {
		c.value, c.charset, sqlType = valueText, o.Charset, sql
		if own := ownCharset(index, o); own != nil {
			c.charset = own
		}
		if c.charset.String() == utf8Charset.String() {
			c.value = valueUTF8
		}
	}
	binary := func() { c.value, sqlType = valueBinary, sqlBlob }
	meta := int(mc.Meta)
	// Characters in the character set binary are bytes, whatever they were declared as.
	isBytes := o.Optional != nil && o.Optional.Collations != nil && o.Optional.Collations[index] == binaryCollation
	switch mc.Type {
	case event.ColTiny:
		integer(1, sqlTinyint, sqlSmallint)
	case event.ColShort:
		integer(2, sqlSmallint, sqlInteger)
	case event.ColInt24:
		integer(3, sqlInteger, sqlInteger)
	case event.ColLong:
		integer(4, sqlInteger, sqlBigint)
	case event.ColLongLong:
		integer(8, sqlBigint, sqlDecimal)
	case event.ColFloat:
		fixed(valueFloat, 4, sqlReal)
		if o.OldFloats {
			c.value = valueFloatOld
		}
	case event.ColDouble:
		fixed(valueDouble, 8, sqlDouble)
		if o.OldFloats {
			c.value = valueDoubleOld
		}
	case event.ColNewDecimal:
		c.a, c.b = meta>>8, meta&0xff
		fixed(valueDecimal, render.DecimalLen(c.a, c.b), sqlDecimal)
		if o.FullDecimals {
			c.value = valueDecimalFull
		}
	case event.ColBit:
		fixed(valueBit, (meta+7)/8, sqlBit)
	case event.ColYear:
		fixed(valueYear, 1, sqlVarchar)
	case event.ColDate, event.ColNewDate:
		fixed(valueDate, 3, sqlDate)
	case event.ColTime, event.ColDatetime, event.ColTimestamp:
		c.a = fractionDigits(typeText)
		compileOldTemporal(&c, mc.Type, o.MariaDB)
		sqlType = sqlTimestamp
		if mc.Type == event.ColTime {
			sqlType = sqlTime
		}
	case event.ColTime2:
		c.a = meta
		fixed(valueTime2, 3+render.TemporalFractionLen(meta), sqlTime)
	case event.ColDatetime2:
		c.a = meta
		fixed(valueDatetime2, 5+render.TemporalFractionLen(meta), sqlTimestamp)
	case event.ColTimestamp2:
		c.a = meta
		fixed(valueTimestamp2, 4+render.TemporalFractionLen(meta), sqlTimestamp)
	case event.ColEnum:
		fixed(valueEnum, meta, sqlInteger)
		if c.members = memberNames(index, sc.Type, o); c.members != nil {
			c.value, sqlType = valueEnumName, sqlChar
		}
	case event.ColSet:
		fixed(valueSet, meta, sqlBit)
		nullType = sqlBlob
		if c.members = memberNames(index, sc.Type, o); c.members != nil {
			c.value, sqlType, nullType = valueSetNames, sqlChar, sqlChar
		}
	case event.ColString, event.ColVarchar, event.ColVarString:
		if meta > 0xff {
			prefixed(2)
		} else {
			prefixed(1)
		}
		switch {
		case o.MariaDB && mc.Type == event.ColString && typeText == "uuid":
			c.value, sqlType = valueUUID, sqlChar
		case o.MariaDB && mc.Type == event.ColString && (typeText == "inet4" || typeText == "inet6"):
			c.value, c.a, sqlType = valueInet, meta, sqlChar
		case strings.Contains(typeText, "binary"), isBytes:
			binary()
			if o.PaddedBinary && mc.Type == event.ColString {
				c.value, c.a = valuePadded, meta
			}
		case mc.Type == event.ColString:
			text(sqlChar)
		default:
			text(sqlVarchar)
		}
	case event.ColBlob, event.ColTinyBlob, event.ColMediumBlob, event.ColLongBlob:
		prefixed(meta)
		if isText(typeText) && !isBytes {
			text(sqlClob)
		} else {
			binary()
		}
	case event.ColJSON:
		prefixed(meta)
		c.value, c.json, sqlType, nullType = valueJSON, true, sqlVarchar, sqlOther
	case event.ColGeometry, event.ColVector:
		prefixed(meta)
		binary()
	case event.ColMariaVarcharCompr:
		prefixed(1)
		if meta > 0xff {
			prefixed(2)
		}
		c.value, sqlType = valueInflateText, sqlVarchar
		if strings.Contains(typeText, "binary") || isBytes {
			c.value, sqlType = valueInflateBinary, sqlBlob
		}
	case event.ColMariaBlobCompr:
		prefixed(meta)
		c.value, sqlType = valueInflateBinary, sqlBlob
		if isText(typeText) && !isBytes {
			c.value, sqlType = valueInflateText, sqlClob
		}
	default:
		fixed(valueNull, 0, sqlOther)
	}
	if wideType == 0 {
		wideType = sqlType
	}
	if nullType == 0 {
		nullType = sqlType
	}
	if o.StableTypes {
		if nullType == sqlType {
			nullType = wideType
		}
		sqlType = wideType
	}
	c.head = columnHead(index, sqlType, sc)
	c.wide = columnHead(index, wideType, sc)
	c.null = columnHead(index, nullType, sc)
	c.tail = appendString(nil, 0x52, sc.Type)
	return c
}

// ownCharset is a column's own character set, nil when the instance's counts.
func ownCharset(index int, o Options) *render.Charset {
	if o.Charsets == nil || o.Optional == nil || o.Optional.Collations == nil {
		return nil
	}
	return o.Charsets[o.Optional.Collations[index]]
}

// memberNames are those of an ENUM or SET, from the binlog or from the type's text.
func memberNames(index int, text string, o Options) [][]byte {
	if !o.MemberNames {
		return nil
	}
	if o.Optional != nil && o.Optional.Members != nil && o.Optional.Members[index] != nil {
		return o.Optional.Members[index]
	}
	_, args := splitType(text)
	return splitMembers(args)
}

// compileOldTemporal sets size and kind of the formats from before MySQL 5.6.
// MariaDB writes fractions in them when mysql56_temporal_format is off, and says
// so only in the column's declaration.
func compileOldTemporal(c *column, t event.ColumnType, mariaDB bool) {
	hires := mariaDB && c.a > 0
	switch t {
	case event.ColTime:
		c.value, c.size = valueTimeOld, 3
		if hires {
			c.value, c.size = valueTimeHires, render.TimeHiresLen(c.a)
		}
	case event.ColDatetime:
		c.value, c.size = valueDatetimeOld, 8
		if hires {
			c.value, c.size = valueDatetimeHires, render.DatetimeHiresLen(c.a)
		}
	default:
		c.value, c.size = valueTimestampOld, 4
		if hires {
			c.value, c.size = valueTimestampHires, render.TimestampHiresLen(c.a)
		}
	}
}

// fractionDigits reads n of a type text such as "datetime(n)".
func fractionDigits(typeText string) int {
	i := strings.IndexByte(typeText, '(')
	if i < 0 || i+2 >= len(typeText) || typeText[i+2] != ')' {
		return 0
	}
	if d := int(typeText[i+1]) - '0'; d >= 0 && d <= 6 {
		return d
	}
	return 0
}

// isText is Canal's test: the type text must equal one of these.
func isText(typeText string) bool {
	switch typeText {
	case "tinytext", "text", "mediumtext", "longtext":
		return true
	}
	return false
}

// columnHead is index, sqlType, name, isKey and the tag of updated.
func columnHead(index, sqlType int, sc *schema.Column) []byte {
	b := appendVarint([]byte{0x08}, uint64(index))
	b = appendVarint(append(b, 0x10), uint64(int64(sqlType)))
	// Canal takes names from the text of a statement and leaves quotes in them doubled.
	b = appendString(b, 0x1a, strings.ReplaceAll(sc.Name, "`", "``"))
	key := byte(0)
	if sc.Key {
		key = 1
	}
	return append(b, 0x20, key, 0x28)
}
