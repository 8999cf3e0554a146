package render_test

import (
	"testing"

	"github.com/canald/canald/internal/render"
)

// Diffs that cannot be applied, and bytes of all kinds, are refused.
func FuzzJSONApply(f *testing.F) {
	small := []byte{0, 1, 0, 12, 0, 11, 0, 1, 0, 5, 7, 0, 'a'} // {"a": 7}
	f.Add(small, []byte{0, 3, '$', '.', 'a', 3, 5, 9, 0})
	f.Add(small, []byte{1, 3, '$', '.', 'b', 3, 5, 9, 0, 2, 3, '$', '.', 'a'})
	f.Add(small, []byte{1, 6, '$', '.', '"', 'b', '"', '[', 3, 5, 9, 0})
	f.Fuzz(func(t *testing.T, doc, diffs []byte) {
		out, ok := render.JSONApply([]byte("x"), doc, diffs, render.JSONStyle{})
		if !ok && string(out) != "x" || len(out) == 0 || out[0] != 'x' {
			t.Errorf("%q, %v", out, ok)
		}
	})
}

func TestJSONApply(t *testing.T) {
	small := []byte{0, 1, 0, 12, 0, 11, 0, 1, 0, 5, 7, 0, 'a'}
	for _, c := range []struct {
		name  string
		diffs []byte
		want  string // empty: refused
	}{
		{"nothing", nil, `{"a": 7}`},
		{"replace", []byte{0, 3, '$', '.', 'a', 3, 5, 9, 0}, `{"a": 9}`},
		{"insert", []byte{1, 4, '$', '.', 'b', 'b', 3, 5, 9, 0}, `{"a": 7, "bb": 9}`},
		{"insert before a longer one", []byte{1, 4, '$', '.', 'b', 'b', 3, 5, 9, 0, 1, 3, '$', '.', 'c', 2, 4, 1}, `{"a": 7, "c": true, "bb": 9}`},
		{"remove", []byte{2, 3, '$', '.', 'a'}, `{}`},
		{"quoted key", []byte{1, 7, '$', '.', '"', 'x', ' ', 'y', '"', 2, 4, 0}, `{"a": 7, "x y": null}`},
		{"the whole", []byte{0, 1, '$', 2, 4, 2}, `false`},
		{"no such member", []byte{0, 3, '$', '.', 'b', 3, 5, 9, 0}, ""},
		{"an element of an object", []byte{0, 4, '$', '[', '0', ']', 3, 5, 9, 0}, ""},
		{"no diffs", []byte{7}, ""},
	} {
		out, ok := render.JSONApply(nil, small, c.diffs, render.JSONStyle{})
		if ok != (c.want != "") || string(out) != c.want {
			t.Errorf("%s: %q, %v", c.name, out, ok)
		}
	}
}
