package logging

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.uber.org/zap/zapcore"
)

// maxLineBytes bounds a line; what is longer is cut.
const maxLineBytes = 16 << 10

// core writes lines such as
//
//	2026-11-24 11:40:00.123 [INFO] example.binlog - dump starts position=…
//
// A line never spans several: control characters are escaped, so that text
// from outside cannot forge lines.
type core struct {
	level  zapcore.Level
	fields []zapcore.Field
	out    []io.Writer
}

// Enabled implements zapcore.LevelEnabler.
func (c *core) Enabled(l zapcore.Level) bool { return l >= c.level }

// With implements zapcore.Core.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{level: c.level, fields: append(slices.Clip(c.fields), fields...), out: c.out}
}

// Check implements zapcore.Core.
func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write implements zapcore.Core.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	line := format(e, c.fields, fields)
	var errs []error
	for _, w := range c.out {
		_, err := w.Write(line)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Sync implements zapcore.Core; nothing is buffered.
func (c *core) Sync() error { return nil }

func format(e zapcore.Entry, groups ...[]zapcore.Field) []byte {
	b := make([]byte, 0, 256)
	b = e.Time.AppendFormat(b, "2006-01-02 15:04:05.000")
	b = append(b, " ["...)
	b = append(b, e.Level.CapitalString()...)
	b = append(b, "] "...)
	name := e.LoggerName
	if name == "" {
		name = "canald"
	}
	b = appendPlain(b, name)
	b = append(b, " - "...)
	b = appendPlain(b, e.Message)
	for _, fields := range groups {
		for _, f := range fields {
			b = appendField(b, f)
		}
	}
	if len(b) > maxLineBytes {
		b = append(b[:maxLineBytes], "…"...)
	}
	return append(b, '\n')
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
