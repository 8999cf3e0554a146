package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

// JDBC's type codes as Canal uses them.
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

// sample is a value and what a client gets for it. A sqlType of 0 is the column's.
type sample struct {
	literal string
	text    string
	sqlType int32
}

// column is a column type and its samples; NULL is tried with each.
type column struct {
	ddl      string
	mysql    string // the type text; empty is ddl
	sqlType  int32
	nullType int32 // of NULL; 0 is sqlType
	samples  []sample
	only     func(v harness.Version) bool // nil: every version has it
	sql      string                       // default collation, checks and the like behind the type
}

func hasFraction(v harness.Version) bool { return v.AtLeast(5, 6) } // and MariaDB's are newer
func hasJSON(v harness.Version) bool     { return v.MySQL() && v.AtLeast(5, 7) }

func maria(major, minor int) func(harness.Version) bool {
	return func(v harness.Version) bool { return !v.MySQL() && v.AtLeast(major, minor) }
}

// width is an integer type's text: MySQL 8.0.19 dropped the display width.
func width(v harness.Version, name string, n int, rest string) string {
	if v.MySQL() && v.AtLeast(8, 0) {
		return name + rest
	}
	return fmt.Sprintf("%s(%d)%s", name, n, rest)
}

func columns(v harness.Version) []column {
	emoji := strings.Repeat("😀", 100)
	return []column{
		{ddl: "TINYINT", mysql: width(v, "tinyint", 4, ""), sqlType: sqlTinyint, samples: []sample{{"-128", "-128", 0}, {"0", "0", 0}, {"127", "127", 0}}},
		{ddl: "TINYINT UNSIGNED", mysql: width(v, "tinyint", 3, " unsigned"), sqlType: sqlTinyint, samples: []sample{{"127", "127", 0}, {"128", "128", sqlSmallint}, {"255", "255", sqlSmallint}}},
		{ddl: "TINYINT(1)", mysql: "tinyint(1)", sqlType: sqlTinyint, samples: []sample{{"2", "2", 0}, {"TRUE", "1", 0}}},
		{ddl: "SMALLINT", mysql: width(v, "smallint", 6, ""), sqlType: sqlSmallint, samples: []sample{{"-32768", "-32768", 0}, {"32767", "32767", 0}}},
		{ddl: "SMALLINT UNSIGNED", mysql: width(v, "smallint", 5, " unsigned"), sqlType: sqlSmallint, samples: []sample{{"32767", "32767", 0}, {"65535", "65535", sqlInteger}}},
		{ddl: "MEDIUMINT", mysql: width(v, "mediumint", 9, ""), sqlType: sqlInteger, samples: []sample{{"-8388608", "-8388608", 0}, {"8388607", "8388607", 0}, {"-1", "-1", 0}}},
		{ddl: "MEDIUMINT UNSIGNED", mysql: width(v, "mediumint", 8, " unsigned"), sqlType: sqlInteger, samples: []sample{{"8388608", "8388608", 0}, {"16777215", "16777215", 0}}},
		{ddl: "INT", mysql: width(v, "int", 11, ""), sqlType: sqlInteger, samples: []sample{{"-2147483648", "-2147483648", 0}, {"2147483647", "2147483647", 0}}},
		{ddl: "INT UNSIGNED", mysql: width(v, "int", 10, " unsigned"), sqlType: sqlInteger, samples: []sample{{"2147483647", "2147483647", 0}, {"2147483648", "2147483648", sqlBigint}, {"4294967295", "4294967295", sqlBigint}}},
		{ddl: "INT(6) ZEROFILL", mysql: "int(6) unsigned zerofill", sqlType: sqlInteger, samples: []sample{{"42", "42", 0}}},
		{ddl: "BIGINT", mysql: width(v, "bigint", 20, ""), sqlType: sqlBigint, samples: []sample{{"-9223372036854775808", "-9223372036854775808", 0}, {"9223372036854775807", "9223372036854775807", 0}}},
		{ddl: "BIGINT UNSIGNED", mysql: width(v, "bigint", 20, " unsigned"), sqlType: sqlBigint, samples: []sample{{"1", "1", 0}, {"9223372036854775808", "9223372036854775808", sqlDecimal}, {"18446744073709551615", "18446744073709551615", sqlDecimal}}},
		{ddl: "decimal(10,2)", sqlType: sqlDecimal, samples: []sample{{"0", "0.0", 0}, {"1", "1.0", 0}, {"1.1", "1.10", 0}, {"-12345678.9", "-12345678.90", 0}, {"0.01", "0.01", 0}}},
		{ddl: "decimal(5,0)", sqlType: sqlDecimal, samples: []sample{{"-42", "-42", 0}, {"99999", "99999", 0}}},
		{ddl: "decimal(9,9)", sqlType: sqlDecimal, samples: []sample{{"0", "0.000000000", 0}, {"0.1", "0.100000000", 0}, {"-0.000000001", "-0.000000001", 0}}},
		{ddl: "decimal(65,30)", sqlType: sqlDecimal, samples: []sample{
			{"1", "1.000000000000000000000000000", 0},
			{"-99999999999999999999999999999999999.999999999999999999999999999999", "-99999999999999999999999999999999999.999999999999999999999999999999", 0},
		}},
		{ddl: "decimal(10,2) unsigned", sqlType: sqlDecimal, samples: []sample{{"99999999.99", "99999999.99", 0}}},
		{ddl: "float", sqlType: sqlReal, samples: []sample{{"0", "0.0", 0}, {"1.5", "1.5", 0}, {"-0.001", "-0.001", 0}, {"0.0001", "1.0E-4", 0}, {"16777216", "1.6777216E7", 0}, {"3.4e38", "3.4E38", 0}}},
		{ddl: "double", sqlType: sqlDouble, samples: []sample{{"0", "0.0", 0}, {"100", "100.0", 0}, {"9999999.999", "9999999.999", 0}, {"1e7", "1.0E7", 0}, {"-1.7976931348623157e308", "-1.7976931348623157E308", 0}, {"2e23", "2.0E23", 0}, {"0.1", "0.1", 0}}},
		{ddl: "bit(1)", sqlType: sqlBit, samples: []sample{{"b'0'", "0", 0}, {"b'1'", "1", 0}}},
		{ddl: "bit(8)", sqlType: sqlBit, samples: []sample{{"255", "255", 0}}},
		{ddl: "bit(13)", sqlType: sqlBit, samples: []sample{{"b'1000000000001'", "4097", 0}}},
		{ddl: "bit(64)", sqlType: sqlBit, samples: []sample{{"18446744073709551615", "18446744073709551615", 0}, {"1", "1", 0}}},
		{ddl: "YEAR", mysql: width(v, "year", 4, ""), sqlType: sqlVarchar, samples: []sample{{"0", "0000", 0}, {"1901", "1901", 0}, {"2155", "2155", 0}}},
		{ddl: "date", sqlType: sqlDate, samples: []sample{{"'0000-00-00'", "0000-00-00", 0}, {"'2024-00-00'", "2024-00-00", 0}, {"'2024-02-29'", "2024-02-29", 0}, {"'1000-01-01'", "1000-01-01", 0}, {"'9999-12-31'", "9999-12-31", 0}}},
		{ddl: "time", sqlType: sqlTime, samples: []sample{{"'00:00:00'", "00:00:00", 0}, {"'-838:59:59'", "-838:59:59", 0}, {"'838:59:59'", "838:59:59", 0}, {"'101:02:03'", "101:02:03", 0}, {"'-00:00:01'", "-00:00:01", 0}}},
		{ddl: "time(1)", sqlType: sqlTime, only: hasFraction, samples: []sample{{"'-00:00:00.1'", "-00:00:00.1", 0}, {"'12:34:56.7'", "12:34:56.7", 0}}},
		{ddl: "time(3)", sqlType: sqlTime, only: hasFraction, samples: []sample{{"'-00:00:59.999'", "-00:00:59.999", 0}}},
		{ddl: "time(6)", sqlType: sqlTime, only: hasFraction, samples: []sample{{"'-100:00:00.0001'", "-100:00:00.000100", 0}, {"'100:00:00'", "100:00:00.000000", 0}}},
		{ddl: "datetime", sqlType: sqlTimestamp, samples: []sample{{"'0000-00-00 00:00:00'", "0000-00-00 00:00:00", 0}, {"'1000-01-01 00:00:00'", "1000-01-01 00:00:00", 0}, {"'9999-12-31 23:59:59'", "9999-12-31 23:59:59", 0}}},
		{ddl: "datetime(3)", sqlType: sqlTimestamp, only: hasFraction, samples: []sample{{"'0000-00-00 00:00:00'", "0000-00-00 00:00:00.000", 0}, {"'2024-02-29 01:02:03.004'", "2024-02-29 01:02:03.004", 0}}},
		{ddl: "datetime(6)", sqlType: sqlTimestamp, only: hasFraction, samples: []sample{{"'9999-12-31 23:59:59.999999'", "9999-12-31 23:59:59.999999", 0}}},
		{ddl: "timestamp", sql: "NULL", sqlType: sqlTimestamp, samples: []sample{{"'0000-00-00 00:00:00'", "0000-00-00 00:00:00", 0}, {"'1970-01-01 00:00:01'", "1970-01-01 00:00:01", 0}, {"'2024-07-01 12:00:00'", "2024-07-01 12:00:00", 0}, {"'2038-01-19 03:14:07'", "2038-01-19 03:14:07", 0}}},
		{ddl: "timestamp(1)", sql: "NULL", sqlType: sqlTimestamp, only: hasFraction, samples: []sample{{"'2024-07-01 12:00:00.7'", "2024-07-01 12:00:00.7", 0}}},
		{ddl: "timestamp(6)", sql: "NULL", sqlType: sqlTimestamp, only: hasFraction, samples: []sample{{"'2024-07-01 12:00:00.789123'", "2024-07-01 12:00:00.789123", 0}}},
		{ddl: "char(10)", sqlType: sqlChar, samples: []sample{{"'ab  '", "ab", 0}, {"''", "", 0}, {"'日本'", "日本", 0}}},
		{ddl: "char(100)", sqlType: sqlChar, samples: []sample{{"'" + emoji + "'", emoji, 0}}},
		{ddl: "varchar(10)", sqlType: sqlVarchar, samples: []sample{{"''", "", 0}, {"'a b '", "a b ", 0}, {`'\0\n''"\\'`, "\x00\n'\"\\", 0}}},
		{ddl: "varchar(300)", sqlType: sqlVarchar, samples: []sample{{"'" + emoji + "'", emoji, 0}, {"'" + strings.Repeat("x", 300) + "'", strings.Repeat("x", 300), 0}}},
		{ddl: "binary(6)", sqlType: sqlBlob, samples: []sample{{"0x0001ff000000", "\x00\x01ÿ", 0}, {"'abcdef'", "abcdef", 0}}},
		{ddl: "varbinary(10)", sqlType: sqlBlob, samples: []sample{{"0x00ff00", "\x00ÿ\x00", 0}, {"''", "", 0}}},
		{ddl: "tinytext", sqlType: sqlClob, samples: []sample{{"'é'", "é", 0}, {"''", "", 0}}},
		{ddl: "text", sqlType: sqlClob, samples: []sample{{"REPEAT('ab', 3000)", strings.Repeat("ab", 3000), 0}}},
		{ddl: "mediumtext", sqlType: sqlClob, samples: []sample{{"REPEAT('c', 70000)", strings.Repeat("c", 70000), 0}}},
		{ddl: "longtext", sqlType: sqlClob, samples: []sample{{"'漢'", "漢", 0}}},
		{ddl: "tinyblob", sqlType: sqlBlob, samples: []sample{{"0x80ff7f", "\u0080ÿ\u007f", 0}}},
		{ddl: "blob", sqlType: sqlBlob, samples: []sample{{"0xe6bca2", "æ¼¢", 0}}},
		{ddl: "mediumblob", sqlType: sqlBlob, samples: []sample{{"''", "", 0}}},
		{ddl: "longblob", sqlType: sqlBlob, samples: []sample{{"REPEAT(0xff, 70000)", strings.Repeat("ÿ", 70000), 0}}},
		{ddl: "enum('a','b','c''d')", sqlType: sqlInteger, samples: []sample{{"'b'", "2", 0}, {"'c''d'", "3", 0}, {"'none'", "0", 0}}},
		{ddl: "set('x','y','z')", sqlType: sqlBit, nullType: sqlBlob, samples: []sample{{"'x,z'", "5", 0}, {"''", "0", 0}}},
		{ddl: "geometry", sqlType: sqlBlob, samples: []sample{{pointSQL(v), "\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00ð?\x00\x00\x00\x00\x00\x00\x00@", 0}}},
		{ddl: "point", sqlType: sqlBlob, samples: []sample{{pointSQL(v), "\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00ð?\x00\x00\x00\x00\x00\x00\x00@", 0}}},

		{ddl: "json", sqlType: sqlVarchar, nullType: sqlOther, only: hasJSON, samples: []sample{
			{`'{"bb": [true, null, 1.0], "a": 1}'`, `{"a": 1, "bb": [true, null, 1.0]}`, 0},
			{`'"漢\\n\\u0001"'`, `"漢\n\u0001"`, 0},
			{`'[]'`, `[]`, 0},
			{`'18446744073709551615'`, `18446744073709551615`, 0},
			{`'1e20'`, `1.0E20`, 0},
			{`JSON_ARRAY(CAST(12.5 AS DECIMAL(6,3)), CAST('12:00:00' AS TIME), CAST('2024-02-29' AS DATE))`, `[12.500, "12:00:00.000000", "2024-02-29 00:00:00.000000"]`, 0},
		}},
		{ddl: "JSON", mysql: "longtext", sqlType: sqlClob, only: maria(10, 2), samples: []sample{{`'{"bb": 1,  "a":2}'`, `{"bb": 1,  "a":2}`, 0}}},
		{ddl: "vector(3)", sqlType: sqlBlob, only: func(v harness.Version) bool { return v.MySQL() && v.AtLeast(9, 0) }, samples: []sample{{"TO_VECTOR('[1,2,-1]')", "\x00\x00\u0080?\x00\x00\x00@\x00\x00\u0080¿", 0}}},
		// As Canal has them: the stored bytes, read as text.
		{ddl: "uuid", sqlType: sqlChar, only: maria(10, 7), samples: []sample{{"'31323334-6162-6364-6566-414243444546'", "31323334-6162-6364-6566-414243444546", 0}}},
		{ddl: "inet6", sqlType: sqlChar, only: maria(10, 5), samples: []sample{{"'4142:4344:4546:4748:494a:4b4c:4d4e:4f50'", "4142:4344:4546:4748:494a:4b4c:4d4e:4f50", 0}}},
		{ddl: "inet4", sqlType: sqlChar, only: maria(10, 10), samples: []sample{{"'65.66.67.68'", "65.66.67.68", 0}, {"'255.66.67.68'", "255.66.67.68", 0}}},
		{ddl: "VARCHAR(1000) COMPRESSED", mysql: "varchar(1000)", sqlType: sqlVarchar, only: maria(10, 3), samples: []sample{{"REPEAT('日本', 400)", strings.Repeat("日本", 400), 0}, {"'short'", "short", 0}, {"''", "", 0}}},
		{ddl: "TEXT COMPRESSED", mysql: "text", sqlType: sqlClob, only: maria(10, 3), samples: []sample{{"REPEAT('ab', 3000)", strings.Repeat("ab", 3000), 0}}},
		{ddl: "BLOB COMPRESSED", mysql: "blob", sqlType: sqlBlob, only: maria(10, 3), samples: []sample{{"REPEAT(0xff, 3000)", strings.Repeat("ÿ", 3000), 0}}},
	}
}

func pointSQL(v harness.Version) string {
	if v.AtLeast(5, 6) {
		return "ST_GeomFromText('POINT(1 2)')"
	}
	return "GeomFromText('POINT(1 2)')"
}

// Every type with values at its edges, and NULL, against what Canal's clients
// expect. The tables exist before canald starts, so their types are spelled by
// the server.
func TestColumnTypes(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		sc := newScene(t, s, "types1", 4201)
		sc.config.Location = time.UTC
		checkTypes(t, sc, columns(s.Version))
	})
}

// checkTypes makes a table for each column, fills it and compares.
func checkTypes(t *testing.T, sc *scene, all []column) {
	t.Helper()
	cases := map[string]column{}
	var create, insert []string
	for i, c := range all {
		if c.only != nil && !c.only(sc.s.Version) {
			continue
		}
		name := fmt.Sprintf("c%d", i)
		cases[name] = c
		create = append(create, fmt.Sprintf("CREATE TABLE %s (id INT NOT NULL PRIMARY KEY, v %s %s)", name, c.ddl, c.sql))
		for j, v := range append(c.samples, sample{literal: "NULL"}) {
			insert = append(insert, fmt.Sprintf("INSERT INTO %s VALUES (%d, %s)", name, j, v.literal))
		}
	}
	sc.exec(create...)
	sc.begin("")
	sc.exec(append([]string{"SET NAMES utf8mb4"}, insert...)...)
	got := map[string][]row{}
	for _, r := range sc.rows() {
		got[r.table] = append(got[r.table], r)
	}
	for name, c := range cases {
		t.Run(c.ddl, func(t *testing.T) { checkColumn(t, c, got[name]) })
	}
}

func checkColumn(t *testing.T, c column, rows []row) {
	if len(rows) != len(c.samples)+1 {
		t.Fatalf("%d rows came, want %d", len(rows), len(c.samples)+1)
	}
	mysqlType := c.mysql
	if mysqlType == "" {
		mysqlType = c.ddl
	}
	for i, r := range rows {
		if len(r.after) != 2 {
			t.Fatalf("%s: %d columns", r, len(r.after))
		}
		id, v := r.after[0], r.after[1]
		if !id.GetIsKey() || id.GetName() != "id" || v.GetIsKey() || v.GetName() != "v" || v.GetIndex() != 1 {
			t.Errorf("%s: key or names are wrong", r)
		}
		if v.GetMysqlType() != mysqlType {
			t.Errorf("type is %q, want %q", v.GetMysqlType(), mysqlType)
		}
		want := &canalpb.Column{}
		wantType := c.sqlType
		switch {
		case i == len(c.samples):
			want.IsNull = new(bool)
			*want.IsNull = true
			if c.nullType != 0 {
				wantType = c.nullType
			}
			if v.Value != nil {
				t.Errorf("NULL has the value %q", v.GetValue())
			}
		case c.samples[i].sqlType != 0:
			wantType = c.samples[i].sqlType
		}
		if i < len(c.samples) && v.GetValue() != c.samples[i].text {
			t.Errorf("%.80s: got %.80q, want %.80q", c.samples[i].literal, v.GetValue(), c.samples[i].text)
		}
		if v.GetIsNull() != want.GetIsNull() || v.GetSqlType() != wantType || !v.GetUpdated() {
			t.Errorf("row %d: null %t, sqlType %d, updated %t; want null %t, sqlType %d", i, v.GetIsNull(), v.GetSqlType(), v.GetUpdated(), want.GetIsNull(), wantType)
		}
	}
}

// MariaDB keeps tables from before its 10.1.2 in formats of its own.
func TestOldMariaTemporalFormat(t *testing.T) {
	eachOf(t, isMariaDB, func(t *testing.T, s *harness.Server) {
		s.Exec(t, "SET GLOBAL mysql56_temporal_format=OFF")
		defer s.Exec(t, "SET GLOBAL mysql56_temporal_format=ON")
		sc := newScene(t, s, "types2", 4202)
		sc.config.Location = time.UTC
		var old []column
		for _, c := range columns(s.Version) {
			if (c.sqlType == sqlTime || c.sqlType == sqlTimestamp) && c.ddl != "" {
				old = append(old, c)
			}
		}
		// The session takes the format from the global value when it creates the tables.
		checkTypes(t, sc, old)
	})
}
