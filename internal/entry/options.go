package entry

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/render"
	"github.com/canald/canald/internal/schema"
)

// Form is how columns look where clients may choose. The zero value is Canal's.
type Form struct {
	// FullDecimals writes all digits of a fraction; Canal leaves a last group of
	// zeros out. OldFloats has the digits of JDK 8 to 18. MemberNames writes ENUM
	// and SET by their members and not as numbers. PaddedBinary gives BINARY(n) the
	// zeros back that the binlog leaves out. StableTypes gives an unsigned column
	// one sqlType, the one of its largest values. ServerTypes spells mysqlType as
	// the server does, whatever the statement said.
	FullDecimals, OldFloats, MemberNames, PaddedBinary, StableTypes, ServerTypes bool
	// WholeJSON applies partial updates to the document of the before image;
	// ServerJSON writes documents as the server shows them.
	WholeJSON, ServerJSON bool
}

// enumName writes a member by its number, which counts from 1; the number 0 is
// the empty text of a value that was refused.
func (w *Worker) enumName(b []byte, col *column, raw []byte) []byte {
	n := int(littleEndian(raw))
	if n == 0 {
		return b
	}
	if n > len(col.members) {
		return render.Enum(b, raw)
	}
	return w.charset.Append(b, col.members[n-1])
}

// setNames writes the members whose bits are set, with commas between them.
func (w *Worker) setNames(b []byte, col *column, raw []byte) []byte {
	bits := littleEndian(raw)
	if len(col.members) < 64 && bits>>len(col.members) != 0 {
		return render.Set(b, raw)
	}
	first := true
	for i, m := range col.members {
		if bits&(1<<i) == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = w.charset.Append(b, m)
	}
	return b
}

func littleEndian(raw []byte) uint64 {
	var b [8]byte
	copy(b[:], raw)
	return binary.LittleEndian.Uint64(b[:])
}

// splitMembers reads the quoted texts of an ENUM's or SET's list.
func splitMembers(args string) [][]byte {
	var list [][]byte
	var m []byte
	inside := false
	for i := 0; i < len(args); i++ {
		c := args[i]
		switch {
		case !inside:
			if inside = c == '\''; inside {
				m = []byte{}
			}
		case c == '\'' && i+1 < len(args) && args[i+1] == '\'', c == '\\' && i+1 < len(args):
			i++
			m = append(m, args[i])
		case c == '\'':
			inside = false
			list = append(list, m)
		default:
			m = append(m, c)
		}
	}
	return list
}

// pad appends n zeros.
func pad(b []byte, n int) []byte {
	for ; n > 0; n-- {
		b = append(b, 0)
	}
	return b
}

// implicitRowID tells whether a map has the column behind those of the table that
// RDS and PolarDB-X add to one without a key.
func implicitRowID(t *schema.Table, m *event.TableMap, name string) bool {
	columns := t.All()
	if name == "" || len(m.Columns) != len(columns)+1 || m.Columns[len(columns)].Type != event.ColLongLong {
		return false
	}
	return !slices.ContainsFunc(columns, func(c schema.Column) bool { return c.Key })
}

// serverType spells a column's type as SHOW CREATE TABLE does, given how the
// statement that made it spelt it and what the binlog says of it.
func serverType(text string, mc event.Column, o Options) string {
	word, args := splitType(text)
	lower := strings.ToLower(text)
	if rest, ok := strings.CutPrefix(lower, "national "); ok {
		word, _ = splitType(rest)
	}
	if i := strings.IndexByte(text, '('); i >= 0 && args == "" { // behind two words
		_, args = splitType(text[i:])
	}
	brackets := func(name, args string) string {
		if args == "" {
			return name
		}
		return name + "(" + args + ")"
	}
	or := func(without string) string {
		if args == "" {
			return without
		}
		return args
	}
	meta := strconv.Itoa(int(mc.Meta))
	signs := ""
	switch {
	case strings.HasSuffix(lower, " zerofill"):
		signs = " unsigned zerofill"
	case strings.HasSuffix(lower, " unsigned"):
		signs = " unsigned"
	}
	integer := func(name, width, unsignedWidth string) string {
		if word == "bool" || word == "boolean" {
			return "tinyint(1)"
		}
		if signs != "" {
			width = unsignedWidth
		}
		zerofill := strings.HasSuffix(signs, "zerofill")
		if !o.Widths && !zerofill && (name != "tinyint" || args != "1" || signs != "") {
			return name + signs
		}
		return name + "(" + or(width) + ")" + signs
	}
	switch mc.Type {
	case event.ColTiny:
		return integer("tinyint", "4", "3")
	case event.ColShort:
		return integer("smallint", "6", "5")
	case event.ColInt24:
		return integer("mediumint", "9", "8")
	case event.ColLong:
		return integer("int", "11", "10")
	case event.ColLongLong:
		if word == "serial" {
			signs = " unsigned"
		}
		return integer("bigint", "20", "20")
	case event.ColFloat, event.ColDouble:
		name := "float"
		if mc.Type == event.ColDouble {
			name = "double"
		}
		if !strings.Contains(args, ",") { // a precision in bits says no more than the type
			args = ""
		}
		return brackets(name, args) + signs
	case event.ColNewDecimal:
		return "decimal(" + strconv.Itoa(int(mc.Meta>>8)) + "," + strconv.Itoa(int(mc.Meta&0xff)) + ")" + signs
	case event.ColBit:
		return "bit(" + meta + ")"
	case event.ColYear:
		if !o.Widths {
			return "year"
		}
		return "year(4)"
	case event.ColTime, event.ColDatetime, event.ColTimestamp:
		name := map[event.ColumnType]string{event.ColTime: "time", event.ColDatetime: "datetime", event.ColTimestamp: "timestamp"}[mc.Type]
		if args == "0" {
			args = ""
		}
		return brackets(name, args)
	case event.ColString, event.ColVarchar, event.ColVarString, event.ColMariaVarcharCompr:
		switch word {
		case "char", "character", "nchar":
			if mc.Type == event.ColString {
				return "char(" + or("1") + ")"
			}
			return "varchar(" + args + ")"
		case "varchar", "nvarchar", "varcharacter":
			return "varchar(" + args + ")"
		case "binary":
			return "binary(" + or("1") + ")"
		}
	case event.ColBlob, event.ColTinyBlob, event.ColMediumBlob, event.ColLongBlob, event.ColMariaBlobCompr:
		if size, ok := map[uint16]string{1: "tiny", 2: "", 3: "medium", 4: "long"}[mc.Meta]; ok {
			if strings.Contains(word, "char") || strings.HasSuffix(word, "text") || word == "json" || word == "long" && !strings.Contains(lower, "varbinary") {
				return size + "text"
			}
			return size + "blob"
		}
	case event.ColEnum, event.ColSet:
		return word + "(" + args + ")"
	case event.ColGeometry:
		if word == "geometrycollection" && !o.Widths {
			return "geomcollection"
		}
		if word == "geomcollection" && o.Widths {
			return "geometrycollection"
		}
		return word
	default:
		return typeName(mc)
	}
	return lower
}
