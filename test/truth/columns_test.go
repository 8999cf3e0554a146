package truth

import (
	"fmt"
	"strings"

	"github.com/canald/canald/test/harness"
)

// spelling is a type as a user writes it.
type spelling struct {
	ddl string
	has func(v harness.Version) bool
}

func mysqlSince(major, minor int) func(harness.Version) bool {
	return func(v harness.Version) bool { return v.MySQL() && v.AtLeast(major, minor) }
}

func mariaSince(major, minor int) func(harness.Version) bool {
	return func(v harness.Version) bool { return !v.MySQL() && v.AtLeast(major, minor) }
}

func modern(v harness.Version) bool { return v.AtLeast(5, 6) }

var spellings = []spelling{
	{"TINYINT", nil},
	{"TINYINT UNSIGNED", nil},
	{"tinyint(1)", nil},
	{"BOOL", nil},
	{"BOOLEAN", nil},
	{"SMALLINT", nil},
	{"SMALLINT(5) UNSIGNED ZEROFILL", nil},
	{"INT2", nil},
	{"MEDIUMINT", nil},
	{"MIDDLEINT UNSIGNED", nil},
	{"MEDIUMINT ZEROFILL", nil},
	{"INT", nil},
	{"INTEGER", nil},
	{"INT(11)", nil},
	{"INT UNSIGNED", nil},
	{"int4", nil},
	{"INT(8) ZEROFILL", nil},
	{"BIGINT", nil},
	{"BIGINT UNSIGNED", nil},
	{"INT8", nil},
	{"BIGINT(20) UNSIGNED ZEROFILL", nil},
	{"INT SIGNED", nil},
	{"DECIMAL(10,2)", nil},
	{"DECIMAL(65,30)", nil},
	{"DEC(5)", nil},
	{"NUMERIC", nil},
	{"FIXED(20,10)", nil},
	{"DECIMAL(9, 9) UNSIGNED", nil},
	{"FLOAT", nil},
	{"FLOAT(24)", nil},
	{"FLOAT(25)", nil},
	{"FLOAT(7,3)", nil},
	{"FLOAT4", nil},
	{"DOUBLE", nil},
	{"DOUBLE PRECISION", nil},
	{"REAL", nil},
	{"DOUBLE(15,4)", nil},
	{"FLOAT8", nil},
	{"DOUBLE UNSIGNED", nil},
	{"BIT", nil},
	{"BIT(1)", nil},
	{"BIT(9)", nil},
	{"BIT(64)", nil},
	{"YEAR", nil},
	{"YEAR(4)", nil},
	{"DATE", nil},
	{"TIME", nil},
	{"DATETIME", nil},
	{"TIMESTAMP NULL", nil},
	{"TIME(3)", modern},
	{"TIME(6)", modern},
	{"DATETIME(1)", modern},
	{"DATETIME(6)", modern},
	{"TIMESTAMP(2) NULL", modern},
	{"TIMESTAMP(6) NULL", modern},
	{"CHAR", nil},
	{"CHAR(10)", nil},
	{"CHAR(60)", nil},
	{"CHARACTER(4)", nil},
	{"CHAR(100) CHARACTER SET utf8mb4", modern},
	{"CHAR(5) CHARACTER SET latin1", nil},
	{"CHAR(7) BINARY", nil},
	{"CHAR(3) CHARACTER SET binary", nil},
	{"CHAR BYTE", nil},
	{"NCHAR(5)", nil},
	{"NATIONAL CHAR(6)", nil},
	{"VARCHAR(20)", nil},
	{"VARCHAR(300)", nil},
	{"VARCHAR(1)", nil},
	{"CHARACTER VARYING(12)", nil},
	{"CHAR VARYING(13)", nil},
	{"NVARCHAR(7)", nil},
	{"NATIONAL VARCHAR(9)", nil},
	{"NCHAR VARCHAR(8)", nil},
	{"VARCHARACTER(14)", nil},
	{"VARCHAR(30) CHARACTER SET gbk", nil},
	{"VARCHAR(30) CHARSET latin1 COLLATE latin1_bin", nil},
	{"VARCHAR(20) COLLATE utf8mb4_bin", modern},
	{"VARCHAR(10) CHARACTER SET binary", nil},
	{"VARCHAR(20) ASCII", nil},
	{"BINARY(8)", nil},
	{"BINARY", nil},
	{"VARBINARY(16)", nil},
	{"VARBINARY(300)", nil},
	{"CHAR VARYING(9) BINARY", nil},
	{"TINYTEXT", nil},
	{"TEXT", nil},
	{"TEXT(100)", nil},
	{"TEXT(70000)", nil},
	{"MEDIUMTEXT", nil},
	{"LONGTEXT", nil},
	{"LONG", nil},
	{"LONG VARCHAR", nil},
	{"TEXT CHARACTER SET latin1", nil},
	{"TEXT CHARACTER SET binary", nil},
	{"TINYBLOB", nil},
	{"BLOB", nil},
	{"BLOB(70)", nil},
	{"MEDIUMBLOB", nil},
	{"LONGBLOB", nil},
	{"LONG VARBINARY", nil},
	{"ENUM('a','b')", nil},
	{"ENUM('x,y', 'it''s', ')', '是')", nil},
	{"SET('a','b','c')", nil},
	{"SET ('p q','(', 'DEFAULT')", nil},
	{"ENUM('unsigned','binary')", nil},
	{"DECIMAL ( 8 , 3 )", nil},
	{"VARCHAR ( 20 )", nil},
	{"BIGINT(20)UNSIGNED", nil},
	{"INT UNSIGNED ZEROFILL", nil},
	{"INT ZEROFILL UNSIGNED", nil},
	{"TINYINT SIGNED", nil},
	{"ENUM ( 'a' , 'b' )", nil},
	{"varchar(20)/* c */", nil},
	{"ENUM('a','b') CHARACTER SET latin1", nil},
	{"SET('1','2') COLLATE latin1_bin", nil},
	{"BIT ( 3 )", nil},
	{"VARCHAR(20) CHARACTER SET 'latin1'", nil},
	{"TEXT COLLATE 'utf8mb4_bin'", modern},
	{"TINYTEXT CHARSET ascii", nil},
	{"INT1", nil},
	{"INT3 UNSIGNED", nil},
	{"GEOMETRY", nil},
	{"POINT", nil},
	{"POLYGON", nil},
	{"JSON", mysqlSince(5, 7)},
	{"JSON", mysqlSince(5, 7)},
	{"VECTOR(3)", mysqlSince(9, 0)},
	{"VECTOR", mysqlSince(9, 0)},
	{"JSON", mariaSince(10, 3)},
	{"INET6", mariaSince(10, 5)},
	{"INET4", mariaSince(10, 10)},
	{"UUID", mariaSince(10, 7)},
	{"VARCHAR(200) COMPRESSED", mariaSince(10, 3)},
	{"TEXT COMPRESSED", mariaSince(10, 3)},
	{"BLOB COMPRESSED", mariaSince(10, 3)},
}

// typeText is a type that the server has.
func (g *generator) typeText() string {
	for {
		if s := pick(g, spellings); s.has == nil || s.has(g.v) {
			return s.ddl
		}
	}
}

// definition is a column's type and attributes. key allows what makes an index.
func (g *generator) definition(existing []column) string {
	if (g.v.MySQL() && g.v.AtLeast(5, 7) || !g.v.MySQL()) && g.one(14) {
		if base := g.baseColumn(existing); base != "" {
			return fmt.Sprintf("INT%s AS (%s + 1) %s", pick(g, []string{"", " GENERATED ALWAYS"}), base, g.generatedKind())
		}
	}
	d := g.typeText()
	upper := strings.ToUpper(d)
	switch {
	case strings.Contains(upper, "INT") && !strings.Contains(upper, "POINT") && g.one(4):
		d += fmt.Sprintf(" %sDEFAULT %d", pick(g, []string{"", "NOT NULL "}), g.IntN(100))
	case strings.Contains(upper, "VARCHAR(2") && g.one(3):
		d += " NOT NULL DEFAULT " + g.text(pick(g, []string{"", "de,fault", "(", "it's", "DROP COLUMN b"}))
	case strings.HasPrefix(upper, "DATETIME(6)") && g.one(2):
		d += " DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"
	case strings.HasPrefix(upper, "TIMESTAMP(2)") && g.one(2):
		d += " DEFAULT NOW(2) ON UPDATE NOW(2)"
	case strings.Contains(upper, "BIT(9)"):
		d += " DEFAULT b'101'"
	case strings.HasPrefix(upper, "ENUM('A','B')") && !strings.Contains(upper, "SET"):
		d += " NOT NULL DEFAULT 'b'"
	case strings.HasPrefix(upper, "DATE") && len(upper) == 4 && g.one(2):
		d += " NOT NULL DEFAULT '2000-01-01'"
	case strings.Contains(upper, "DOUBLE") && g.one(3):
		d += " DEFAULT -1.5e3"
	case g.v.MySQL() && g.v.AtLeast(8, 0) && (upper == "JSON" || upper == "TEXT" || upper == "BLOB") && g.one(2):
		d += pick(g, []string{" DEFAULT ('[1, 2]')", " DEFAULT (CONCAT('[', '1', ', 2', ']'))"})
	case g.one(5) && !strings.HasSuffix(d, "NULL"):
		d += " NULL"
	}
	if g.v.MySQL() && g.v.AtLeast(8, 0) && g.one(30) {
		d += pick(g, []string{" CHECK (1 < 2)", " CONSTRAINT CHECK ((1) < (2)) NOT ENFORCED", " CHECK (')' <> 'x, DROP COLUMN y')"})
	}
	if g.one(8) {
		d += " COMMENT " + g.text(pick(g, []string{"a, b) c", "it's; x", "PRIMARY KEY", "中文", "/* c */ -- d", "INVISIBLE", "\"q\""}))
	}
	if g.v.MySQL() && g.v.AtLeast(8, 0) {
		switch {
		case g.one(15):
			d += pick(g, []string{" INVISIBLE", " /*!80023 INVISIBLE */", " VISIBLE"})
		case g.one(20):
			d += pick(g, []string{" COLUMN_FORMAT FIXED", " STORAGE DISK", " /*!50606 COLUMN_FORMAT DYNAMIC */"})
		}
	}
	if !g.v.MySQL() && g.v.AtLeast(10, 3) && g.one(15) && !strings.Contains(d, "NOT NULL") {
		d += " INVISIBLE"
	}
	return d
}

// generatedKind says how a generated column is kept. MariaDB 10.2's binlog has
// NULL for what it does not store.
func (g *generator) generatedKind() string {
	switch {
	case !g.v.MySQL() && !g.v.AtLeast(10, 3):
		return "PERSISTENT"
	case g.one(2):
		return "VIRTUAL"
	}
	return "STORED"
}

// baseColumn is an integer column that another can be computed from.
func (g *generator) baseColumn(existing []column) string {
	for _, c := range existing {
		if (c.dataType == "int" || c.dataType == "smallint") && !c.generated && !strings.Contains(c.extra, "AUTO") {
			return g.quote(c.name)
		}
	}
	return ""
}

var (
	asciiTexts = []string{"", "abc", "ABC", "trail  ", " lead", "quote ' \" ` end", "0", "back\\slash", "line\nbreak\ttab", "x"}
	wideTexts  = []string{"世界", "naïve", "ключ", "🌍🎉", "é", "ÿ\u0080", "中文 mixed ascii"}
	documentsT = []string{
		`{"a":1,"b":[true,false,null,"x"],"c":{"d":1.5}}`, `[]`, `{}`, `"text"`, `null`, `123`, `-9223372036854775808`, `18446744073709551615`, `3.141592653589793`,
		`{"中文":"🌍","":"empty key","a b":"c/d"}`, `[1,[2,[3,{"deep":[]}]]]`, `"q\"uote \\ \n"`, `1e100`, `-0.5`, `[1.0,10000000.0,0.0001]`, `true`,
	}
)

// literal writes a value for a column.
func (g *generator) literal(c column) string {
	if c.nullable && g.one(7) {
		return "NULL"
	}
	switch c.dataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint":
		if g.one(2) {
			return pick(g, []string{"-128", "127", "128", "255", "-32768", "32767", "65535", "-1", "0", "1", "8388607", "-8388608", "16777215", "2147483647", "-2147483648", "4294967295", "9223372036854775807", "-9223372036854775808", "18446744073709551615"})
		}
		return fmt.Sprint(g.IntN(1000))
	case "decimal":
		return pick(g, []string{"0", "1", "-1", "12.50", "-0.01", "99999999.99", "0.123456789", "123456789.000000001", "-12345678901234567890.12345", "100", "0.10"})
	case "float":
		return pick(g, []string{"0", "1.1", "-3.4e38", "1e7", "1e-3", "1e-4", "16777216", "123456789", "0.5", "100", "1.17549435e-38", "-0.001"})
	case "double":
		return pick(g, []string{"0", "1.1", "-1.7976931348623157e308", "1e7", "9007199254740993", "2.2250738585072014e-308", "0.1", "1e21", "100", "123456.789", "2e23"})
	case "bit":
		return pick(g, []string{"0", "1", "b'101'", "255", "18446744073709551615", "9223372036854775808"})
	case "year":
		return pick(g, []string{"0", "1901", "2155", "2026", "1999"})
	case "date":
		return pick(g, []string{"'2026-11-23'", "'0000-00-00'", "'1000-01-01'", "'9999-12-31'", "'2026-00-00'", "'2024-02-29'"})
	case "time":
		return pick(g, []string{"'12:34:56.789012'", "'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:00.001'", "'-12:00:00.5'", "'100:00:00'", "'-00:00:01'", "'01:02:03.999999'"})
	case "datetime":
		return pick(g, []string{"'2026-11-23 12:34:56.789012'", "'0000-00-00 00:00:00'", "'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'", "'2026-00-00 01:02:03'", "'2000-01-01 00:00:00.1'"})
	case "timestamp":
		return pick(g, []string{"'2026-11-23 12:34:56.789012'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'0000-00-00 00:00:00'", "'2000-01-01 00:00:00.5'", "'2026-03-29 02:30:00'"})
	case "enum", "set":
		return fmt.Sprint(g.IntN(4))
	case "json":
		return g.text(pick(g, documentsT))
	case "vector":
		return "STRING_TO_VECTOR('[1,2.5,-3]')"
	case "inet6":
		return pick(g, []string{"'2001:db8::1'", "'::'", "'::ffff:10.0.0.1'", "'fe80::1'"})
	case "inet4":
		return pick(g, []string{"'10.0.0.1'", "'0.0.0.0'", "'255.255.255.255'"})
	case "uuid":
		return pick(g, []string{"'123e4567-e89b-12d3-a456-426655440000'", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-4fff-8fff-ffffffffffff'"})
	case "polygon":
		return g.geometry("POLYGON((0 0,4 0,4 4,0 4,0 0))")
	case "point":
		return g.geometry("POINT(1 -2.5)")
	case "geometry":
		return g.geometry(pick(g, []string{"POINT(3 4)", "LINESTRING(0 0,1 1,2 2)"}))
	}
	switch families[c.dataType] {
	case octets:
		if strings.Contains(c.dataType, "blob") && g.one(8) {
			return fmt.Sprintf("REPEAT(X'00FF80', %d)", 1+g.IntN(60000))
		}
		return pick(g, []string{"X'00FF10'", "''", "X'DEADBEEF'", "'abc'", "X'E4B8AD'", "X'0100'", "X'80'", "X'C3A9C328'", "'a  '"})
	default:
		if strings.Contains(c.dataType, "text") && g.one(10) {
			return fmt.Sprintf("REPEAT('long ', %d)", 1+g.IntN(30000))
		}
		if strings.HasPrefix(c.charset, "utf8") && g.one(2) {
			return g.text(pick(g, wideTexts))
		}
		// A JSON column of MariaDB takes nothing else.
		if !g.v.MySQL() && c.dataType == "longtext" && g.one(2) {
			return g.text(pick(g, documentsT))
		}
		return g.text(pick(g, asciiTexts))
	}
}

func (g *generator) geometry(text string) string {
	if g.v.AtLeast(5, 6) {
		return "ST_GeomFromText('" + text + "')"
	}
	return "GeomFromText('" + text + "')"
}
