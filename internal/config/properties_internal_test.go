package config

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestScan(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       string // key|value|line, in the order of lines
	}{
		{"empty", "", ""},
		{"separators", "a=1\nb:2\nc 3\nd\t=\t4\ne : 5\nf  =  = 6\ng", "a|1|1 b|2|2 c|3|3 d|4|4 e|5|5 f|= 6|6 g||7"},
		{"blanks before", " \t\fa = 1", "a|1|1"},
		{"blanks behind stay", "a=1 \t", "a|1 \t|1"},
		{"comments", "#a=1\n  !b=2\nc=3#4\n\n \t\nd=5", "c|3#4|3 d|5|6"},
		{"line ends", "a=1\rb=2\r\nc=3\n\nd=4", "a|1|1 b|2|2 c|3|3 d|4|5"},
		{"continued", "a=1,\\\n   2,\\\r\n\t3\nb=4", "a|1,2,3|1 b|4|4"},
		{"continued key", "a\\\n  b=1", "ab|1|1"},
		{"even backslashes do not continue", "a=1\\\\\nb=2", "a|1\\|1 b|2|2"},
		{"comments are not continued", "# a\\\nb=2", "b|2|2"},
		{"no comment when continued", "a=1\\\n#2", "a|1#2|1"},
		{"continued to the end", "a=1\\", "a|1|1"},
		{"continued blank line ends", "a=1\\\n\nb=2", "a|1|1 b|2|3"},
		{"only a backslash", "\\\n\nb=2", "b|2|3"},
		{"escapes", `a=\t\n\r\f\\\:\=\#\q`, "a|\t\n\r\f\\:=#q|1"},
		{"regex", `a=.*\\..*,b\..*`, "a|.*\\..*,b..*|1"},
		{"escaped key", `a\ b\:c\=d=1`, "a b:c=d|1|1"},
		{"unicode", `a=\u00e4\u4e2D`, "a|ä中|1"},
		{"two halves of a character", `a=\ud83d\ude00`, "a|😀|1"},
		{"half a character", `a=\ud83dx`, "a|\ufffdx|1"},
		{"utf-8", "a=ä中", "a|ä中|1"},
		{"latin 1", "a=\xe4\xff", "a|äÿ|1"},
		{"byte order mark", "\ufeffa=1", "a|1|1"},
		{"last wins", "a=1\nb=2\na=3", "b|2|2 a|3|3"},
		{"empty key", "=1", "|1|1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, errs := scan("f", []byte(c.text))
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			var out []string
			for line := range strings.Count(c.text, "\n") + strings.Count(c.text, "\r") + 2 {
				for k, p := range got {
					if p.line == line {
						out = append(out, fmt.Sprintf("%s|%s|%d", k, p.text, p.line))
					}
				}
			}
			if s := strings.Join(out, " "); s != c.want {
				t.Errorf("got  %q\nwant %q", s, c.want)
			}
		})
	}
}

func TestScanBounds(t *testing.T) {
	var many strings.Builder
	for i := range maxFileKeys + 2 {
		fmt.Fprintf(&many, "k%d=1\n", i)
	}
	for _, c := range []struct{ name, text, want string }{
		{"too long", strings.Repeat(" ", maxFileBytes+1), "f: 4194305 bytes, more than 4194304"},
		{"too many keys", many.String(), "f:4097: more than 4096 keys"},
		{"bad escape", "a=1\nb=\\u12", `f:2: malformed \uXXXX escape`},
		{"bad escape in a key", `\uzzzz=1`, `f:1: malformed \uXXXX escape`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, errs := scan("f", []byte(c.text))
			if len(errs) != 1 || errs[0].Error() != c.want || len(got) > maxFileKeys {
				t.Errorf("%d keys, %v; want %s", len(got), errs, c.want)
			}
		})
	}
}

// FuzzScan writes down what was read and reads it again: nothing may change.
func FuzzScan(f *testing.F) {
	for _, s := range []string{"a=1\\\n 2", "a\\ b:\\u00e4", "#c\n!d\r\n =x", "a=\\ud83d\\ude00", "\xff=\xfe", "k=\\"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _ := scan("f", data)
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		var again strings.Builder
		want := map[string]string{}
		for k, p := range got {
			if p.line < 1 || p.line > lines || p.file != "f" || !utf8.ValidString(k) || !utf8.ValidString(p.text) {
				t.Fatalf("%q = %+v of %d lines", k, p, lines)
			}
			want[k] = p.text
			again.WriteString(escape(k) + "=" + escape(p.text) + "\n")
		}
		second, errs := scan("f", []byte(again.String()))
		if len(errs) > 0 {
			t.Fatalf("%v in %q", errs, again.String())
		}
		back := map[string]string{}
		for k, p := range second {
			back[k] = p.text
		}
		if !maps.Equal(back, want) {
			t.Fatalf("got %q, want %q", back, want)
		}
	})
}

func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r > 0x7f && r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			if !strings.ContainsRune("tnrfu", r) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

func FuzzExpand(f *testing.F) {
	f.Add("${a:b}", "${c}", "x${a}")
	f.Add("${${a}}}", "{", "${a:${c}}")
	f.Fuzz(func(t *testing.T, text, a, c string) {
		l, err := instanceLayers(map[string]string{"a": a, "c": c}, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := l.expand("k", text)
		if err == nil && len(out) > maxExpandBytes {
			t.Fatalf("%d bytes", len(out))
		}
	})
}
