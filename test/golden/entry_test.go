package golden

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Kinds of entries as the wire numbers them.
const (
	typeBegin   = 1
	typeRowData = 2
	typeEnd     = 3
)

// Kinds of changes as the wire numbers them.
const (
	eventInsert = 1
	eventUpdate = 2
	eventDelete = 3
	eventQuery  = 7
)

// Texts above this length, bytes, are in a recording as their hash.
const longText = 2000

// entry is an entry as the recordings have it: what was not on the wire is not in it.
type entry map[string]any

// kind is how a field is written in a recording.
type kind int

const (
	number kind = iota
	flag
	text
	pairs
	message  // at most one
	messages // a list
)

// field is one field of a message.
type field struct {
	name string
	kind kind
	of   fields
}

// fields are a message's fields by number.
type fields map[protowire.Number]field

var (
	headerFields = fields{
		1: {"version", number, nil}, 2: {"logfileName", text, nil}, 3: {"logfileOffset", number, nil}, 4: {"serverId", number, nil},
		5: {"serverenCode", text, nil}, 6: {"executeTime", number, nil}, 7: {"sourceType", number, nil}, 8: {"schemaName", text, nil},
		9: {"tableName", text, nil}, 10: {"eventLength", number, nil}, 11: {"eventType", number, nil}, 12: {"props", pairs, nil}, 13: {"gtid", text, nil},
	}
	columnFields = fields{
		1: {"index", number, nil}, 2: {"sqlType", number, nil}, 3: {"name", text, nil}, 4: {"isKey", flag, nil}, 5: {"updated", flag, nil},
		6: {"isNull", flag, nil}, 7: {"props", pairs, nil}, 8: {"value", text, nil}, 9: {"length", number, nil}, 10: {"mysqlType", text, nil},
	}
	rowFields       = fields{1: {"before", messages, columnFields}, 2: {"after", messages, columnFields}, 3: {"props", pairs, nil}}
	rowChangeFields = fields{
		1: {"tableId", number, nil}, 2: {"eventType", number, nil}, 10: {"isDdl", flag, nil}, 11: {"sql", text, nil},
		12: {"rows", messages, rowFields}, 13: {"props", pairs, nil}, 14: {"ddlSchemaName", text, nil},
	}
	transactionFields = fields{1: {"executeTime", number, nil}, 2: {"transactionId", text, nil}, 3: {"props", pairs, nil}, 4: {"threadId", number, nil}}
	pairFields        = fields{1: {"key", text, nil}, 2: {"value", text, nil}}
	entryFields       = map[int64]fields{
		typeBegin:   {1: {"header", message, headerFields}, 2: {"entryType", number, nil}, 3: {"transactionBegin", message, transactionFields}},
		typeRowData: {1: {"header", message, headerFields}, 2: {"entryType", number, nil}, 3: {"rowChange", message, rowChangeFields}},
		typeEnd:     {1: {"header", message, headerFields}, 2: {"entryType", number, nil}, 3: {"transactionEnd", message, transactionFields}},
	}
)

// decodeEntry reads an entry from the wire without the client's own messages: it
// must see what was there and in which order.
func decodeEntry(b []byte) (entry, error) {
	head, err := decode(b, fields{1: {"header", message, nil}, 2: {"entryType", number, nil}, 3: {"store", message, nil}})
	if err != nil {
		return nil, err
	}
	entryType, _ := head["entryType"].(int64)
	known, ok := entryFields[entryType]
	if !ok {
		return nil, fmt.Errorf("entry of type %d", entryType)
	}
	m, err := decode(b, known)
	return entry(m), err
}

func decode(b []byte, known fields) (map[string]any, error) {
	m := map[string]any{}
	last := protowire.Number(0)
	for len(b) > 0 {
		n, wire, size := protowire.ConsumeTag(b)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		b = b[size:]
		if n < last {
			return nil, fmt.Errorf("field %d behind field %d", n, last)
		}
		last = n
		f, ok := known[n]
		if !ok && known != nil {
			return nil, fmt.Errorf("unknown field %d", n)
		}
		value, size, err := f.read(b, wire)
		if err != nil {
			return nil, fmt.Errorf("field %d: %w", n, err)
		}
		b = b[size:]
		if f.kind == pairs || f.kind == messages {
			list, _ := m[f.name].([]any)
			m[f.name] = append(list, value)
		} else if _, twice := m[f.name]; twice && known != nil {
			return nil, fmt.Errorf("field %d comes twice", n)
		} else {
			m[f.name] = value
		}
	}
	return m, nil
}

func (f field) read(b []byte, wire protowire.Type) (value any, size int, err error) {
	switch wire {
	case protowire.VarintType:
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, 0, protowire.ParseError(n)
		}
		if f.kind == flag {
			return v != 0, n, nil
		}
		return int64(v), n, nil
	case protowire.BytesType:
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return nil, 0, protowire.ParseError(n)
		}
		switch f.kind {
		case message, messages:
			m, err := decode(v, f.of)
			if f.of == nil {
				m, err = nil, nil
			}
			return m, n, err
		case pairs:
			p, err := decode(v, pairFields)
			return fmt.Sprintf("%v=%v", p["key"], p["value"]), n, err
		default:
			return textOf(v), n, nil
		}
	default:
		return nil, 0, errors.New("unknown wire type")
	}
}

// textOf is a text as a recording has it.
func textOf(b []byte) any {
	switch {
	case !utf8.Valid(b):
		return map[string]any{"base64": base64.StdEncoding.EncodeToString(b)}
	case len(b) > longText:
		sum := sha256.Sum256(b)
		return map[string]any{"sha256": hex.EncodeToString(sum[:]), "bytes": int64(len(b))}
	}
	return string(b)
}

// readRecording reads the entries of a recording.
func readRecording(t testing.TB, path string) []entry {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []entry
	for line := range bytes.Lines(b) {
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		var m map[string]any
		if err := d.Decode(&m); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		list = append(list, integers(m).(map[string]any))
	}
	return list
}

// integers makes the numbers of a JSON document int64s.
func integers(v any) any {
	switch v := v.(type) {
	case json.Number:
		n, _ := strconv.ParseInt(v.String(), 10, 64)
		return n
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = integers(v[k])
		}
	}
	return v
}

func (e entry) at(path ...string) any {
	var v any = map[string]any(e)
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func (e entry) number(path ...string) int64 { n, _ := e.at(path...).(int64); return n }
func (e entry) text(path ...string) string  { s, _ := e.at(path...).(string); return s }

func (e entry) rows() []any { l, _ := e.at("rowChange", "rows").([]any); return l }

// isMark tells whether an entry is the row of a mark.
func (e entry) isMark(mark int) bool {
	if e.text("header", "schemaName") != "golden_mark" || e.text("header", "tableName") != "mark" || len(e.rows()) != 1 {
		return false
	}
	after := columnsOf(e.rows()[0], "after")
	return len(after) == 1 && after[0]["value"] == strconv.Itoa(mark)
}

// columnsOf are the columns of one image of a row.
func columnsOf(row any, image string) []map[string]any {
	m, _ := row.(map[string]any)
	list, _ := m[image].([]any)
	columns := make([]map[string]any, 0, len(list))
	for _, c := range list {
		if m, ok := c.(map[string]any); ok {
			columns = append(columns, m)
		}
	}
	return columns
}
