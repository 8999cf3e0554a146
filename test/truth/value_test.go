package truth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/canald/canald/client/canalpb"
)

// value is a column's value in a form that does not depend on who tells it.
type value struct {
	null bool
	// any stands for what the stream did not tell: the default of a column that a
	// minimal row image leaves out.
	any  bool
	text string
}

func (v value) String() string {
	switch {
	case v.any:
		return "?"
	case v.null:
		return "NULL"
	}
	return fmt.Sprintf("%.60q", v.text)
}

// same compares; what the stream did not tell is like everything.
func (v value) same(w value) bool { return v.any || w.any || v == w }

// family groups the data types whose values are written the same way.
type family int

const (
	integers family = iota
	decimals
	singles
	doubles
	times // as printed
	characters
	octets
	documents // MySQL's JSON
	texts     // MariaDB's addresses and UUIDs, as printed, whatever the case
)

var families = map[string]family{
	"tinyint": integers, "smallint": integers, "mediumint": integers, "int": integers, "bigint": integers, "bit": integers,
	"year": integers, "enum": integers, "set": integers, "decimal": decimals, "float": singles, "double": doubles,
	"date": times, "time": times, "datetime": times, "timestamp": times, "json": documents,
	"char": characters, "varchar": characters, "tinytext": characters, "text": characters, "mediumtext": characters, "longtext": characters,
	"binary": octets, "varbinary": octets, "tinyblob": octets, "blob": octets, "mediumblob": octets, "longblob": octets, "vector": octets,
	"geometry": octets, "point": octets, "linestring": octets, "polygon": octets, "multipoint": octets, "multilinestring": octets,
	"multipolygon": octets, "geometrycollection": octets, "geomcollection": octets, "inet4": texts, "inet6": texts, "uuid": texts,
}

// selectExpression reads a column so that nothing of its value gets lost.
func (c column) selectExpression() string {
	name := backQuote(c.name)
	switch families[c.dataType] {
	case singles, doubles:
		return name + "*1e0" // a FLOAT by itself is printed with six digits
	case characters:
		return "HEX(CONVERT(" + name + " USING utf8mb4))"
	case octets:
		return "HEX(" + name + ")"
	case integers:
		if c.dataType == "bit" || c.dataType == "enum" || c.dataType == "set" || c.dataType == "year" {
			return name + "+0"
		}
	default:
	}
	return name
}

// ofDatabase makes a value of what the database answers to selectExpression.
func (c column) ofDatabase(text string) (value, error) {
	return c.normal(text, func() ([]byte, error) { return hex.DecodeString(text) })
}

// ofStream makes a value of a column of an entry.
func (c column) ofStream(p *canalpb.Column) (value, error) {
	if p.GetIsNull() {
		if p.Value != nil {
			return value{}, fmt.Errorf("NULL with the value %q", p.GetValue())
		}
		return value{null: true}, nil
	}
	if p.Value == nil {
		return value{}, fmt.Errorf("neither NULL nor a value")
	}
	return c.normal(p.GetValue(), func() ([]byte, error) {
		const sqlBlob = 2004
		if p.GetSqlType() != sqlBlob {
			return []byte(p.GetValue()), nil
		}
		var b []byte
		for _, r := range p.GetValue() {
			if r > 0xff {
				return nil, fmt.Errorf("%q is no byte", r)
			}
			b = append(b, byte(r))
		}
		return b, nil
	})
}

// normal makes a value of a text; raw gives its bytes where it stands for bytes.
func (c column) normal(text string, raw func() ([]byte, error)) (value, error) {
	f, known := families[c.dataType]
	if !known {
		return value{}, fmt.Errorf("unknown data type %s", c.dataType)
	}
	switch f {
	case integers:
		n, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return value{}, fmt.Errorf("%q is no integer", text)
		}
		return value{text: n.String()}, nil
	case decimals:
		n, ok := new(big.Rat).SetString(text)
		if !ok {
			return value{}, fmt.Errorf("%q is no number", text)
		}
		return value{text: n.RatString()}, nil
	case singles, doubles:
		bits := 64
		if f == singles {
			bits = 32
		}
		n, err := strconv.ParseFloat(text, bits)
		if err != nil {
			return value{}, err
		}
		return value{text: strconv.FormatFloat(n, 'g', -1, bits)}, nil
	case characters, octets:
		b, err := raw()
		if err != nil {
			return value{}, err
		}
		if f == characters && !strings.HasPrefix(c.charset, "utf8") && slices.ContainsFunc(b, func(c byte) bool { return c >= 0x80 }) {
			// Canal takes the bytes of all character sets for UTF-8.
			return value{any: true}, nil
		}
		if c.dataType == "binary" {
			// The binlog has no padding.
			b = bytes.TrimRight(b, "\x00")
		}
		return value{text: string(b)}, nil
	case documents:
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var doc any
		if err := d.Decode(&doc); err != nil {
			return value{}, fmt.Errorf("%.60q is no JSON: %w", text, err)
		}
		return value{text: canonical(doc)}, nil
	case texts:
		return value{text: strings.ToLower(text)}, nil
	default:
		return value{text: text}, nil
	}
}

// canonical writes a document in one way: numbers by their value, members by name.
func canonical(doc any) string {
	switch doc := doc.(type) {
	case json.Number:
		n, ok := new(big.Rat).SetString(doc.String())
		if !ok {
			return doc.String()
		}
		return n.RatString()
	case []any:
		parts := make([]string, len(doc))
		for i := range doc {
			parts[i] = canonical(doc[i])
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		var parts []string
		for name, member := range doc {
			parts = append(parts, strconv.Quote(name)+":"+canonical(member))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ",") + "}"
	case string:
		return strconv.Quote(doc)
	default:
		return fmt.Sprint(doc)
	}
}

func backQuote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
