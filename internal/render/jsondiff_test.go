package render_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/canald/canald/internal/render"
)

type diff struct {
	op    byte
	path  string
	value any
}

func encodeDiffs(diffs ...diff) []byte {
	var out []byte
	length := func(n int) {
		if n > 250 {
			out = append(out, 252, byte(n), byte(n>>8))
			return
		}
		out = append(out, byte(n))
	}
	for _, d := range diffs {
		out = append(out, d.op)
		length(len(d.path))
		out = append(out, d.path...)
		if d.op != 2 {
			v := encodeDocument(d.value, false)
			length(len(v))
			out = append(out, v...)
		}
	}
	return out
}

func TestJSONDiff(t *testing.T) {
	long := strings.Repeat("v", 300)
	cases := []struct {
		name  string
		diffs []diff
		want  string
	}{
		{"two replacements", []diff{{0, "$.b", int16(2)}, {0, "$.c.x", "new"}}, `JSON_REPLACE(j, '$.b', 2, '$.c.x', "new")`},
		{"remove", []diff{{2, "$.d", nil}}, `JSON_REMOVE(j, '$.d')`},
		{"replace, insert", []diff{{0, "$.totally", "n3"}, {1, "$.x", int16(1)}}, `JSON_INSERT(JSON_REPLACE(j, '$.totally', "n3"), '$.x', 1)`},
		{"array insert", []diff{{1, "$.a[0]", nil}}, `JSON_ARRAY_INSERT(j, '$.a[0]', null)`},
		{
			"three runs",
			[]diff{{2, "$.a", nil}, {2, "$.b", nil}, {1, "$.c", true}, {2, "$.d", nil}},
			`JSON_REMOVE(JSON_INSERT(JSON_REMOVE(j, '$.a', '$.b'), '$.c', true), '$.d')`,
		},
		{"array insert then insert", []diff{{1, "$[1]", int16(1)}, {1, "$.x", int16(2)}}, `JSON_INSERT(JSON_ARRAY_INSERT(j, '$[1]', 1), '$.x', 2)`},
		{"path bytes", []diff{{0, "$.\"é'\"", int16(1)}}, "JSON_REPLACE(j, '$.\"Ã©'\"', 1)"},
		{"path with NUL", []diff{{0, "$.a\x00b", int16(1)}}, `JSON_REPLACE(j, '$.a', 1)`},
		{"long value", []diff{{0, "$.a", long}}, `JSON_REPLACE(j, '$.a', "` + long + `")`},
		{"object", []diff{{0, "$.a", object{{"k", array{1.0}}}}}, `JSON_REPLACE(j, '$.a', {"k": [1.0]})`},
		{"none", nil, ``},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, ok := render.JSONDiff([]byte("> "), encodeDiffs(c.diffs...), "j", render.JSONStyle{})
			if !ok || string(got) != "> "+c.want {
				t.Errorf("got %s (%v), want > %s", got, ok, c.want)
			}
		})
	}
}

func TestJSONDiffNot(t *testing.T) {
	cases := []struct {
		name string
		raw  []byte
	}{
		{"document", encodeDocument(object{{"a", int16(1)}, {"b", "x"}}, false)},
		{"large document", encodeDocument(object{{"a", int16(1)}}, true)},
		{"array", encodeDocument(array{int16(1), "y"}, false)},
		{"string", encodeDocument("text", false)},
		{"unknown operation", []byte{3, 1, '$'}},
		{"empty path", []byte{2, 0}},
		{"cut path", []byte{2, 5, '$'}},
		{"cut value", []byte{0, 1, '$', 9, 4}},
		{"no value", []byte{0, 1, '$'}},
		{"null length", []byte{2, 251}},
		{"huge length", []byte{2, 254, 255, 255, 255, 255, 255, 255, 255, 255, '$'}},
		{"rest after a diff", append(encodeDiffs(diff{2, "$.a", nil}), 2)},
	}
	for _, c := range cases {
		if got, ok := render.JSONDiff([]byte("> "), c.raw, "j", render.JSONStyle{}); ok || string(got) != "> " {
			t.Errorf("%s: %s (%v)", c.name, got, ok)
		}
	}
}

func FuzzJSONDiff(f *testing.F) {
	f.Add(encodeDiffs(diff{0, "$.b", int16(2)}, diff{1, "$[0]", "x"}, diff{2, "$.c", nil}))
	f.Add(encodeDocument(array{"x"}, false))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, ok := render.JSONDiff(nil, raw, "col", render.JSONStyle{})
		switch {
		case !ok && len(got) != 0:
			t.Errorf("% x: text without ok: %s", raw, got)
		case !ok || len(raw) == 0:
		case !utf8.Valid(got) || len(got) > 1100*len(raw) || !strings.HasSuffix(string(got), ")") || !strings.HasPrefix(string(got), "JSON_"):
			t.Errorf("% x = %q", raw, got)
		}
	})
}
