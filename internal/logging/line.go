package logging

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// maxLineBytes bounds a line; what is longer is cut.
const maxLineBytes = 16 << 10

const timeLayout = "2006-01-02 15:04:05.000"

// form is the shape of a line.
type form int

const (
	formCanal form = iota // time [thread] LEVEL logger - message key=value …
	formMeta              // time - message key=value …
	formJSON
)

// core writes lines such as
//
//	2026-11-24 11:40:00.123 [example] INFO  binlog - dump starts position=…
//
// A line never spans several: control characters are escaped, so that text
// from outside cannot forge lines.
type core struct {
	level       zapcore.Level
	thread      string
	unnamed     string // name of a logger without one
	destination bool   // thread is the name of a destination
	unfolded    bool   // equal lines are all written
	form        form
	fields      []zapcore.Field
	out         *sink
}

// Enabled implements zapcore.LevelEnabler.
func (c *core) Enabled(l zapcore.Level) bool { return l >= c.level }

// With implements zapcore.Core.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	d := *c
	d.fields = append(slices.Clip(c.fields), fields...)
	return &d
}

// bare is the core without fields.
func (c *core) bare() *core {
	d := *c
	d.fields = nil
	return &d
}

// Check implements zapcore.Core.
func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write implements zapcore.Core. It returns no error, which zap would print for
// each line: the sink says once what is wrong.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.out.write(c, e, fields)
	return nil
}

// Sync implements zapcore.Core; nothing is buffered.
func (c *core) Sync() error { return nil }

// render makes the line of an entry.
func (c *core) render(e zapcore.Entry, fields []zapcore.Field) []byte {
	if e.LoggerName == "" {
		e.LoggerName = c.unnamed
	}
	if c.form == formJSON {
		return c.renderJSON(e, fields)
	}
	b := make([]byte, 0, 256)
	b = e.Time.AppendFormat(b, timeLayout)
	if c.form == formCanal {
		b = append(b, " ["...)
		b = appendPlain(b, c.thread)
		b = append(b, "] "...)
		b = fmt.Appendf(b, "%-5s ", e.Level.CapitalString())
		b = appendPlain(b, e.LoggerName)
	}
	b = append(b, " - "...)
	b = appendPlain(b, e.Message)
	for _, group := range [][]zapcore.Field{c.fields, fields} {
		for _, f := range group {
			b = appendField(b, f)
		}
	}
	return append(cut(b), '\n')
}

// cut bounds a line, between two characters.
func cut(b []byte) []byte {
	if len(b) <= maxLineBytes {
		return b
	}
	n := maxLineBytes
	for n > maxLineBytes-utf8.UTFMax && !utf8.RuneStart(b[n]) {
		n--
	}
	return append(b[:n], "…"...)
}

var jsonEncoding = zapcore.EncoderConfig{
	TimeKey: "time", LevelKey: "level", NameKey: "logger", MessageKey: "msg", LineEnding: "\n",
	EncodeTime:     zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00"),
	EncodeLevel:    zapcore.CapitalLevelEncoder,
	EncodeDuration: zapcore.StringDurationEncoder,
}

// renderJSON makes an object of the entry. What would be too long keeps its
// message and loses its fields: half an object is none.
func (c *core) renderJSON(e zapcore.Entry, fields []zapcore.Field) []byte {
	all := make([]zapcore.Field, 0, 1+len(c.fields)+len(fields))
	if c.destination {
		all = append(all, zap.String(Destination, c.thread))
	}
	own := len(all)
	for _, group := range [][]zapcore.Field{c.fields, fields} {
		for _, f := range group {
			if !c.destination || f.Key != Destination { // no key twice
				all = append(all, f)
			}
		}
	}
	line := encodeJSON(e, all)
	if len(line) > maxLineBytes {
		size := len(line)
		const most = maxLineBytes / 8 // an escaped byte takes up to six
		if len(e.Message) > most {
			e.Message = e.Message[:most] + "…"
		}
		line = encodeJSON(e, append(all[:own:own], zap.Int("cut_bytes", size)))
	}
	return line
}

func encodeJSON(e zapcore.Entry, fields []zapcore.Field) []byte {
	buffer, err := zapcore.NewJSONEncoder(jsonEncoding).EncodeEntry(e, fields)
	if err != nil { // no field of zap's own makes one
		return []byte("{}\n")
	}
	defer buffer.Free()
	return bytes.Clone(buffer.Bytes())
}

func appendField(b []byte, f zapcore.Field) []byte {
	m := zapcore.NewMapObjectEncoder()
	f.AddTo(m)
	names := make([]string, 0, 1)
	for k := range m.Fields {
		if !strings.HasSuffix(k, "Verbose") || k == f.Key { // zap adds a stack to some errors
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		b = append(b, ' ')
		b = appendPlain(b, k)
		b = append(b, '=')
		v := fmt.Sprint(m.Fields[k])
		if bytes, ok := m.Fields[k].([]byte); ok {
			v = string(bytes)
		}
		if v == "" || strings.ContainsAny(v, ` "=`) || strings.ContainsFunc(v, unprintable) {
			b = strconv.AppendQuote(b, v)
		} else {
			b = append(b, v...)
		}
	}
	return b
}

func unprintable(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }

// appendPlain escapes what would break the line and leaves quotes alone.
func appendPlain(b []byte, s string) []byte {
	if !strings.ContainsFunc(s, unprintable) {
		return append(b, s...)
	}
	q := strconv.Quote(s)
	return append(b, strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)...)
}
