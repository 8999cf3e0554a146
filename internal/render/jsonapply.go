package render

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"
)

// JSONApply renders the whole document that a partial update makes of the one
// before it. ok is false, and out is dst, when the diffs cannot be applied to it.
func JSONApply(dst, before, diffs []byte, style JSONStyle) (out []byte, ok bool) {
	p := jsonReader{text: JSON(nil, before, style)}
	root := p.node(0)
	if root == nil || len(p.text) > 0 {
		return dst, false
	}
	for rest := diffs; len(rest) > 0; {
		var d jsonDiff
		if d, rest, ok = nextDiff(rest); !ok {
			return dst, false
		}
		if root, ok = root.apply(d, style); !ok {
			return dst, false
		}
	}
	return root.append(dst, jsonText{style: JSONStyle{Server: style.Server}}), true
}

// jsonNode is a value of a document; its scalars are text as JSON renders it.
type jsonNode struct {
	kind   byte // '{', '[', or 0 for a scalar
	text   []byte
	keys   [][]byte // as they are, without quotes and escapes
	values []*jsonNode
}

// jsonReader reads what JSON rendered.
type jsonReader struct{ text []byte }

func (p *jsonReader) accept(s string) bool {
	rest, ok := bytes.CutPrefix(p.text, []byte(s))
	if ok {
		p.text = rest
	}
	return ok
}

// node is nil for what is no document.
func (p *jsonReader) node(depth int) *jsonNode {
	if len(p.text) == 0 || depth > jsonMaxDepth {
		return nil
	}
	n := &jsonNode{kind: p.text[0]}
	switch n.kind {
	case '{', '[':
		p.text = p.text[1:]
	case '"':
		end := quotedEnd(p.text)
		if end < 0 {
			return nil
		}
		n.kind, n.text, p.text = 0, p.text[:end], p.text[end:]
		return n
	default:
		end := bytes.IndexAny(p.text, ",]}")
		if end < 0 {
			end = len(p.text)
		}
		n.kind, n.text, p.text = 0, p.text[:end], p.text[end:]
		return n
	}
	shut := map[byte]string{'{': "}", '[': "]"}[n.kind]
	if p.accept(shut) {
		return n
	}
	for {
		if n.kind == '{' {
			end := quotedEnd(p.text)
			if end < 0 {
				return nil
			}
			n.keys = append(n.keys, unquoted(p.text[:end]))
			p.text = p.text[end:]
			if !p.accept(": ") {
				return nil
			}
		}
		v := p.node(depth + 1)
		if v == nil {
			return nil
		}
		n.values = append(n.values, v)
		if p.accept(shut) {
			return n
		}
		if !p.accept(", ") {
			return nil
		}
	}
}

// quotedEnd is where the text in quotes at the beginning ends, -1 without one.
func quotedEnd(s []byte) int {
	if len(s) == 0 || s[0] != '"' {
		return -1
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// unquoted takes off quotes and the escapes that quoted writes, and those of paths.
func unquoted(s []byte) []byte {
	s = s[1 : len(s)-1]
	if bytes.IndexByte(s, '\\') < 0 {
		return s
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			out = append(out, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'u':
			if i+4 < len(s) {
				if v, err := strconv.ParseUint(string(s[i+1:i+5]), 16, 16); err == nil {
					out = utf8.AppendRune(out, rune(v))
				}
				i += 4
			}
		default:
			out = append(out, s[i])
		}
	}
	return out
}

// jsonLeg is one step of a path: a member, or an element.
type jsonLeg struct {
	key   []byte // nil for an element
	index int
}

// maxPathLegs is above the depth of a document.
const maxPathLegs = 2 * jsonMaxDepth

// legs reads a path such as $.a."b c"[3].
func legs(path []byte) (list []jsonLeg, ok bool) {
	for rest := path[1:]; len(rest) > 0; {
		if len(list) == maxPathLegs {
			return nil, false
		}
		switch rest[0] {
		case '.':
			rest = rest[1:]
			end := quotedEnd(rest)
			if end > 0 {
				list, rest = append(list, jsonLeg{key: append([]byte{}, unquoted(rest[:end])...)}), rest[end:]
				continue
			}
			if end = bytes.IndexAny(rest, ".["); end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, false
			}
			list, rest = append(list, jsonLeg{key: rest[:end]}), rest[end:]
		case '[':
			end := bytes.IndexByte(rest, ']')
			if end < 0 {
				return nil, false
			}
			n, err := strconv.ParseUint(string(rest[1:end]), 10, 31)
			if err != nil {
				return nil, false
			}
			list, rest = append(list, jsonLeg{index: int(n)}), rest[end+1:]
		default:
			return nil, false
		}
	}
	return list, true
}

// at finds where a leg leads; found is false, and i where it would have to be
// inserted, when there is nothing.
func (n *jsonNode) at(l jsonLeg) (i int, found, ok bool) {
	if l.key == nil {
		return min(l.index, len(n.values)), l.index < len(n.values), n.kind == '['
	}
	i, found = slices.BinarySearchFunc(n.keys, l.key, func(a, b []byte) int {
		if len(a) != len(b) { // as the server stores them
			return len(a) - len(b)
		}
		return bytes.Compare(a, b)
	})
	return i, found, n.kind == '{'
}

// apply changes the document and returns its root.
func (n *jsonNode) apply(d jsonDiff, style JSONStyle) (*jsonNode, bool) {
	path, ok := legs(d.path)
	if !ok {
		return nil, false
	}
	var value *jsonNode
	if d.op != diffRemove {
		p := jsonReader{text: JSON(nil, d.value, style)}
		if value = p.node(0); value == nil {
			return nil, false
		}
	}
	if len(path) == 0 {
		return value, d.op == diffReplace
	}
	parent := n
	for _, l := range path[:len(path)-1] {
		i, found, ok := parent.at(l)
		if !ok || !found {
			return nil, false
		}
		parent = parent.values[i]
	}
	last := path[len(path)-1]
	i, found, ok := parent.at(last)
	switch {
	case !ok:
		return nil, false
	case d.op == diffInsert && (last.key == nil || !found):
		if last.key != nil {
			parent.keys = slices.Insert(parent.keys, i, last.key)
		}
		parent.values = slices.Insert(parent.values, i, value)
	case !found:
		return nil, false
	case d.op == diffRemove:
		if last.key != nil {
			parent.keys = slices.Delete(parent.keys, i, i+1)
		}
		parent.values = slices.Delete(parent.values, i, i+1)
	default:
		parent.values[i] = value
	}
	return n, true
}

// append writes the text; keys are quoted by quote.
func (n *jsonNode) append(dst []byte, quote jsonText) []byte {
	if n.kind == 0 {
		return append(dst, n.text...)
	}
	dst = append(dst, n.kind)
	for i, v := range n.values {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if n.kind == '{' {
			dst = append(quote.quoted(dst, n.keys[i]), ": "...)
		}
		dst = v.append(dst, quote)
	}
	if n.kind == '{' {
		return append(dst, '}')
	}
	return append(dst, ']')
}
