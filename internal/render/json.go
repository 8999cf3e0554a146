package render

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// Types of values in MySQL's binary JSON.
const (
	jsonSmallObject = 0x00
	jsonLargeObject = 0x01
	jsonSmallArray  = 0x02
	jsonLargeArray  = 0x03
	jsonLiteral     = 0x04
	jsonInt16       = 0x05
	jsonUint16      = 0x06
	jsonInt32       = 0x07
	jsonUint32      = 0x08
	jsonInt64       = 0x09
	jsonUint64      = 0x0a
	jsonDouble      = 0x0b
	jsonString      = 0x0c
	jsonOpaque      = 0x0f
)

// Column types that an opaque value can be of.
const (
	typeDecimal    = 0
	typeTimestamp  = 7
	typeDate       = 10
	typeTime       = 11
	typeDatetime   = 12
	typeNewDecimal = 246
)

const (
	// jsonMaxDepth is above the 100 levels that MySQL accepts.
	jsonMaxDepth = 128
	// A document's text is at most about eight times its bytes: "-32768, "
	// for three of an array, \u00xx for one of a string. Offsets that overlap
	// could make text without end out of few bytes; past this the document is
	// taken as null.
	jsonExpansion = 16
	jsonSpare     = 1024
)

// JSONStyle is how documents are shown. The zero value is Canal's way with UTF-8.
type JSONStyle struct {
	Charset   *Charset // of keys and strings; nil is UTF-8
	OldFloats bool     // doubles as JDK 8 to 18 write them
	// Server gives the text that the server itself shows: its doubles, all digits
	// of decimals, dates without a time, bytes in base64.
	Server bool
}

// JSON renders MySQL's binary JSON as Java's JsonConversion does: a blank
// after each comma and colon, members as stored, doubles in Java's notation,
// opaque values as Canal shows them. No bytes give no text. What cannot be read
// is null.
func JSON(dst, raw []byte, style JSONStyle) []byte {
	if len(raw) == 0 {
		return dst
	}
	j := jsonText{style: style, start: len(dst), limit: len(dst) + jsonExpansion*len(raw) + jsonSpare}
	dst = j.value(dst, raw[0], raw[1:], 0)
	if j.over {
		dst = append(dst[:j.start], "null"...)
	}
	return dst
}

// jsonText is the work on one document.
type jsonText struct {
	style        JSONStyle
	start, limit int  // where the text begins in dst, and must end
	over         bool // it went past limit
}

// value writes the value of type t whose bytes begin raw.
func (j *jsonText) value(dst []byte, t byte, raw []byte, depth int) []byte {
	if len(dst) > j.limit {
		j.over = true
		return dst
	}
	switch t {
	case jsonSmallObject, jsonLargeObject, jsonSmallArray, jsonLargeArray:
		return j.container(dst, t, raw, depth)
	case jsonLiteral:
		if len(raw) > 0 {
			switch raw[0] {
			case 1:
				return append(dst, "true"...)
			case 2:
				return append(dst, "false"...)
			}
		}
	case jsonInt16, jsonUint16, jsonInt32, jsonUint32, jsonInt64, jsonUint64, jsonDouble:
		return j.number(dst, t, raw)
	case jsonString:
		if s, ok := jsonBytes(raw); ok {
			return j.quoted(dst, s)
		}
	case jsonOpaque:
		if len(raw) > 1 {
			if s, ok := jsonBytes(raw[1:]); ok {
				return j.opaque(dst, raw[0], s)
			}
		}
	}
	return append(dst, "null"...)
}

func (j *jsonText) number(dst []byte, t byte, raw []byte) []byte {
	size := 8
	switch t {
	case jsonInt16, jsonUint16:
		size = 2
	case jsonInt32, jsonUint32:
		size = 4
	}
	if len(raw) < size {
		return append(dst, "null"...)
	}
	raw = raw[:size]
	switch t {
	case jsonInt16, jsonInt32, jsonInt64:
		return Int(dst, raw)
	case jsonDouble:
		switch v := float64At(raw); {
		case j.style.Server:
			return appendServerDouble(dst, v)
		case j.style.OldFloats:
			return appendOldDouble(dst, v)
		default:
			return AppendJavaDouble(dst, v)
		}
	default:
		return Uint(dst, raw)
	}
}

// jsonBytes gives the bytes behind a length of up to five bytes of seven bits,
// the lowest first.
func jsonBytes(raw []byte) ([]byte, bool) {
	n := uint64(0)
	for i := 0; i < 5 && i < len(raw); i++ {
		n |= uint64(raw[i]&0x7f) << (7 * i)
		if raw[i]&0x80 == 0 {
			rest := raw[i+1:]
			if n > uint64(len(rest)) {
				return nil, false
			}
			return rest[:n], true
		}
	}
	return nil, false
}

// container writes an object or array: count, size, key entries (offset and
// length) of an object, value entries (type, and offset or value); offsets
// count from the beginning of raw. The large forms have four bytes for two.
func (j *jsonText) container(dst []byte, t byte, raw []byte, depth int) []byte {
	width := 2
	if t == jsonLargeObject || t == jsonLargeArray {
		width = 4
	}
	object := t == jsonSmallObject || t == jsonLargeObject
	if depth >= jsonMaxDepth || len(raw) < 2*width {
		return append(dst, "null"...)
	}
	count := jsonOffset(raw, width)
	if size := jsonOffset(raw[width:], width); size < uint64(len(raw)) {
		raw = raw[:max(size, uint64(2*width))]
	}
	keyEntry, valueEntry := uint64(0), uint64(1+width)
	if object {
		keyEntry = uint64(width + 2)
	}
	keys := uint64(2 * width)
	values := keys + count*keyEntry
	if values+count*valueEntry > uint64(len(raw)) { // count < 2^32: no overflow
		return append(dst, "null"...)
	}
	open, shut := byte('['), byte(']')
	if object {
		open, shut = '{', '}'
	}
	dst = append(dst, open)
	for i := uint64(0); i < count && !j.over; i++ {
		if i > 0 {
			dst = append(dst, ',', ' ')
		}
		j.over = j.over || len(dst) > j.limit // also where no value has bytes of its own
		if object {
			dst = j.key(dst, raw, raw[keys+i*keyEntry:], width)
		}
		dst = j.entry(dst, raw, raw[values+i*valueEntry:], width, depth)
	}
	return append(dst, shut)
}

func (j *jsonText) key(dst, raw, entry []byte, width int) []byte {
	at := jsonOffset(entry, width)
	n := uint64(binary.LittleEndian.Uint16(entry[width:]))
	var key []byte
	if at+n <= uint64(len(raw)) {
		key = raw[at : at+n]
	}
	return append(j.quoted(dst, key), ':', ' ')
}

// entry writes the value of one value entry: in it, or where it points to.
func (j *jsonText) entry(dst, raw, entry []byte, width, depth int) []byte {
	t, inline := entry[0], entry[1:1+width]
	switch t {
	case jsonLiteral, jsonInt16, jsonUint16:
		return j.value(dst, t, inline, depth+1)
	case jsonInt32, jsonUint32:
		if width == 4 {
			return j.value(dst, t, inline, depth+1)
		}
	}
	at := jsonOffset(inline, width)
	if at >= uint64(len(raw)) {
		return append(dst, "null"...)
	}
	return j.value(dst, t, raw[at:], depth+1)
}

func jsonOffset(raw []byte, width int) uint64 {
	if width == 2 {
		return uint64(binary.LittleEndian.Uint16(raw))
	}
	return uint64(binary.LittleEndian.Uint32(raw))
}

// opaque writes a value of an SQL type. MySQL's own text differs: it gives a
// DATE without time, and base64 for bytes.
func (j *jsonText) opaque(dst []byte, t byte, s []byte) []byte {
	switch t {
	case typeDecimal, typeNewDecimal:
		if len(s) < 2 {
			return append(dst, "null"...)
		}
		if j.style.Server {
			return DecimalFull(dst, s[2:], int(s[0]), int(s[1]))
		}
		return Decimal(dst, s[2:], int(s[0]), int(s[1]))
	case typeTime:
		v := int64(little(s))
		if v == 0 && j.style.Server {
			return append(dst, `"00:00:00.000000"`...)
		}
		return append(appendPackedTime(append(dst, '"'), v), '"')
	case typeDate, typeDatetime, typeTimestamp:
		v := int64(little(s))
		if j.style.Server {
			return appendServerDate(dst, t, uint64(v))
		}
		if v == 0 {
			return append(dst, `"0000-00-00 00:00:00"`...)
		}
		u := uint64(max(v, -v)) & (1<<63 - 1)
		dst = appendPackedDatetime(append(dst, '"'), u>>24)
		return append(appendFraction(dst, u&(1<<24-1), maxFSP), '"')
	}
	if j.style.Server {
		dst = appendUint(append(dst, `"base64:type`...), uint64(t))
		return append(base64.StdEncoding.AppendEncode(append(dst, ':'), s), '"')
	}
	return j.quoted(dst, s)
}

// appendServerDouble writes v as MySQL does in a document: without an exponent
// while the point is no further away than the 15 digits that any double keeps, or
// stands between digits.
func appendServerDouble(dst []byte, v float64) []byte {
	if v == 0 {
		if math.Signbit(v) {
			dst = append(dst, '-')
		}
		return append(dst, "0.0"...)
	}
	var buf [32]byte
	e := strconv.AppendFloat(buf[:0], v, 'e', -1, 64)
	at := bytes.IndexByte(e, 'e')
	exp, err := strconv.Atoi(string(e[at+1:]))
	if err != nil { // not a number, which no document holds
		return append(dst, "null"...)
	}
	if exp < -serverDigits || exp >= serverDigits && v == math.Trunc(v) {
		return strconv.AppendInt(append(dst, e[:at+1]...), int64(exp), 10)
	}
	from := len(dst)
	dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
	if bytes.IndexByte(dst[from:], '.') < 0 {
		dst = append(dst, ".0"...)
	}
	return dst
}

const serverDigits = 15

// appendServerDate writes a date or time of day as MySQL does in a document.
func appendServerDate(dst []byte, t byte, u uint64) []byte {
	dst = append(dst, '"')
	at := len(dst)
	dst = appendPackedDatetime(dst, u>>24&(1<<39-1))
	if t == typeDate {
		dst = dst[:at+len("2006-01-02")]
	} else {
		dst = appendFraction(dst, u&(1<<24-1), maxFSP)
	}
	return append(dst, '"')
}

func appendPackedTime(dst []byte, v int64) []byte {
	if v == 0 {
		return append(dst, "00:00:00"...)
	}
	if v < 0 {
		v = -v
		dst = append(dst, '-')
	}
	u := uint64(v) & (1<<63 - 1)
	s := u >> 24
	dst = appendClock(dst, s>>12&1023, s>>6&63, s&63)
	return appendFraction(dst, u&(1<<24-1), maxFSP)
}

// jsonSpecial marks bytes that may need an escape. C2 leads U+0080 to U+00BF,
// of which those up to U+00A0 do.
var jsonSpecial = func() (t [256]bool) {
	for i := range 0x20 {
		t[i] = true
	}
	t['"'], t['\\'], t[0x7f], t[0xc2] = true, true, true, true
	return t
}()

const hexDigits = "0123456789abcdef"

// quoted writes s, text in the document's charset, as a JSON string.
func (j *jsonText) quoted(dst, s []byte) []byte {
	if c := j.style.Charset; c != nil && c.kind != kindUTF8 || !utf8.Valid(s) {
		s = c.Append(nil, s)
	}
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		b := s[i]
		if !jsonSpecial[b] || b == 0xc2 && s[i+1] > 0xa0 || j.style.Server && b >= 0x7f {
			continue
		}
		dst = append(dst, s[from:i]...)
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b', '\f':
			if j.style.Server {
				dst = append(dst, '\\', 'b'+(b-'\b'))
				break
			}
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		default:
			if b == 0xc2 {
				i++
				b = s[i]
			}
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
		from = i + 1
	}
	return append(append(dst, s[from:]...), '"')
}
