package render

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/transform"
)

// Charset decodes text of one character set. It may be used by any number of
// goroutines. The nil *Charset is UTF-8.
//
// Well-formed text comes out as in Java. Where bytes are ill-formed in a
// multi-byte set other than UTF-8, the number of U+FFFD may differ.
type Charset struct {
	name     string
	kind     charsetKind
	table    *[256][]byte // single-byte sets: the UTF-8 of each byte
	decoders *sync.Pool   // multi-byte sets: of *encoding.Decoder
}

type charsetKind uint8

const (
	kindUTF8 charsetKind = iota
	kindLatin1
	kindTable
	kindMultiByte
)

// ErrUnknownCharset is what LookupCharset wraps for a name it does not know.
var ErrUnknownCharset = errors.New("unknown charset")

// javaNames maps names that Java knows and the IANA list does not.
var javaNames = map[string]string{
	"utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf_8": "utf-8", "unicode-1-1-utf-8": "utf-8",
	"8859_1": "iso-8859-1", "iso8859_1": "iso-8859-1", "iso8859-1": "iso-8859-1", "ibm-819": "iso-8859-1",
	"ascii7": "us-ascii", "646": "us-ascii",
	"ms936": "gbk", "windows-936": "gbk", "x-mswin-936": "gbk", "euc_cn": "gbk", "euccn": "gbk", "euc-cn": "gbk",
	"gb2312": "gbk", "gb2312-80": "gbk", "gb2312-1980": "gbk", "x-euc-cn": "gbk",
	"ms932": "shift_jis", "windows-932": "shift_jis", "windows-31j": "shift_jis", "cp932": "shift_jis", "x-sjis": "shift_jis",
	"euc_jp": "euc-jp", "eucjp": "euc-jp", "euc_kr": "euc-kr", "euckr": "euc-kr", "ms949": "euc-kr", "x-windows-949": "euc-kr",
	"big5-hkscs": "big5", "ms950": "big5", "x-windows-950": "big5",
}

// LookupCharset finds a character set by a name that Java accepts, in any
// case: utf8 and UTF8MB4 as well as GBK, ISO-8859-1, windows-1252, Cp1251. An
// empty name is UTF-8. The error wraps ErrUnknownCharset and names the set.
func LookupCharset(javaName string) (*Charset, error) {
	name := strings.ToLower(strings.TrimSpace(javaName))
	if n, ok := javaNames[name]; ok {
		name = n
	}
	switch {
	case strings.HasPrefix(name, "iso8859"): // ISO8859_15, ISO8859-15
		name = "iso-8859-" + strings.TrimLeft(name[len("iso8859"):], "_-")
	case strings.HasPrefix(name, "cp125"):
		name = "windows-" + name[len("cp"):]
	}
	switch name {
	case "", "utf-8", "utf8":
		return &Charset{name: "UTF-8"}, nil
	case "us-ascii", "ascii":
		return &Charset{name: "US-ASCII", kind: kindTable, table: asciiTable()}, nil
	}
	enc, err := ianaindex.IANA.Encoding(name)
	if err != nil || enc == nil {
		enc, err = htmlindex.Get(name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w %q", ErrUnknownCharset, javaName)
	}
	if enc == charmap.ISO8859_1 {
		return &Charset{name: "ISO-8859-1", kind: kindLatin1}, nil
	}
	official, err := ianaindex.MIME.Name(enc)
	if err != nil {
		official = name
	}
	if m, ok := enc.(*charmap.Charmap); ok {
		return &Charset{name: official, kind: kindTable, table: byteTable(m)}, nil
	}
	return &Charset{name: official, kind: kindMultiByte, decoders: &sync.Pool{
		New: func() any { return enc.NewDecoder() },
	}}, nil
}

func asciiTable() *[256][]byte {
	var t [256][]byte
	for i := range t {
		t[i] = []byte(replacement)
		if i < utf8.RuneSelf {
			t[i] = []byte{byte(i)}
		}
	}
	return &t
}

func byteTable(m *charmap.Charmap) *[256][]byte {
	var t [256][]byte
	for i := range t {
		t[i] = utf8.AppendRune(nil, m.DecodeByte(byte(i)))
	}
	return &t
}

// String is the set's official name.
func (c *Charset) String() string {
	if c == nil {
		return "UTF-8"
	}
	return c.name
}

// Append appends raw, text in c, as valid UTF-8.
func (c *Charset) Append(dst, raw []byte) []byte {
	switch {
	case c == nil || c.kind == kindUTF8:
		return UTF8(dst, raw)
	case c.kind == kindLatin1:
		return Latin1(dst, raw)
	case c.kind == kindTable:
		for _, b := range raw {
			dst = append(dst, c.table[b]...)
		}
		return dst
	}
	return c.transform(dst, raw)
}

// transform decodes straight into dst's spare room.
func (c *Charset) transform(dst, raw []byte) []byte {
	d, ok := c.decoders.Get().(*encoding.Decoder)
	if !ok {
		return UTF8(dst, raw)
	}
	defer c.decoders.Put(d)
	d.Reset()
	dst = slices.Grow(dst, len(raw)+len(raw)/2+utf8.UTFMax)
	for {
		n, used, err := d.Transform(dst[len(dst):cap(dst)], raw, true)
		dst, raw = dst[:len(dst)+n], raw[used:]
		switch {
		case err == nil:
			return dst
		case errors.Is(err, transform.ErrShortDst):
			dst = slices.Grow(dst, len(raw)*2+utf8.UTFMax)
		default: // a decoder replaces what it cannot read; should one refuse, a byte is given up
			dst = append(dst, replacement...)
			if len(raw) < 2 {
				return dst
			}
			raw = raw[1:]
		}
	}
}
