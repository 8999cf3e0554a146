package render

import (
	"bytes"
	"slices"
)

// Operations of a JSON diff.
const (
	diffReplace = 0
	diffInsert  = 1
	diffRemove  = 2
)

// JSONDiff renders the after image of a JSON column in a partial update, a
// sequence of diffs, as Java's JsonDiffConversion does: an SQL expression on
// the column, such as JSON_REPLACE(j, '$.b', 2). ok is false, and out is dst,
// when raw is not such a sequence; it may then be a whole document. No bytes
// are a sequence without diffs and give no text; the bare column name that
// Java shows if that is the very end of the event is left to the caller.
func JSONDiff(dst, raw []byte, column string, style JSONStyle) (out []byte, ok bool) {
	count := 0
	for rest := raw; len(rest) > 0; count++ {
		if _, rest, ok = nextDiff(rest); !ok {
			return dst, false
		}
	}
	if count == 0 {
		return dst, true
	}
	dst = openDiffs(dst, raw)
	dst = append(append(dst, column...), ", "...)
	d, rest, _ := nextDiff(raw)
	for {
		dst = append(dst, '\'')
		path := d.path
		if i := bytes.IndexByte(path, 0); i >= 0 {
			path = path[:i]
		}
		dst = append(Latin1(dst, path), '\'')
		if d.op != diffRemove {
			dst = JSON(append(dst, ", "...), d.value, style)
		}
		if len(rest) == 0 {
			return append(dst, ')'), true
		}
		next, after, _ := nextDiff(rest)
		if next.name() != d.name() {
			dst = append(dst, ')')
		}
		dst = append(dst, ", "...)
		d, rest = next, after
	}
}

// openDiffs writes the function names, the last diff's first, one for each
// run of diffs of the same name.
func openDiffs(dst, raw []byte) []byte {
	start := len(dst)
	prev := ""
	for rest := raw; len(rest) > 0; {
		var d jsonDiff
		d, rest, _ = nextDiff(rest)
		name := d.name()
		if name == prev {
			continue
		}
		prev = name
		dst = append(dst, '(') // backwards, as the whole is turned round below
		for i := len(name) - 1; i >= 0; i-- {
			dst = append(dst, name[i])
		}
	}
	slices.Reverse(dst[start:])
	return dst
}

type jsonDiff struct {
	op          byte
	path, value []byte
}

func (d jsonDiff) name() string {
	switch {
	case d.op == diffReplace:
		return "JSON_REPLACE"
	case d.op == diffRemove:
		return "JSON_REMOVE"
	case d.path[len(d.path)-1] == ']':
		return "JSON_ARRAY_INSERT"
	default:
		return "JSON_INSERT"
	}
}

// nextDiff takes one diff off raw, which is not empty: operation, path, and
// for two of the three operations a document. Paths begin with $.
func nextDiff(raw []byte) (d jsonDiff, rest []byte, ok bool) {
	d.op = raw[0]
	if d.op > diffRemove {
		return d, nil, false
	}
	d.path, rest, ok = lengthEncoded(raw[1:])
	if !ok || len(d.path) == 0 || d.path[0] != '$' {
		return d, nil, false
	}
	if d.op != diffRemove {
		d.value, rest, ok = lengthEncoded(rest)
	}
	return d, rest, ok
}

// lengthEncoded splits off the bytes behind a length in MySQL's protocol form.
func lengthEncoded(raw []byte) (s, rest []byte, ok bool) {
	if len(raw) == 0 {
		return nil, nil, false
	}
	n, width := uint64(raw[0]), 0
	switch raw[0] {
	case 251, 255: // NULL and the error mark
		return nil, nil, false
	case 252:
		width = 2
	case 253:
		width = 3
	case 254:
		width = 8
	}
	raw = raw[1:]
	if width > 0 {
		if len(raw) < width {
			return nil, nil, false
		}
		n = little(raw[:width])
		raw = raw[width:]
	}
	if n > uint64(len(raw)) {
		return nil, nil, false
	}
	return raw[:n], raw[n:], true
}
