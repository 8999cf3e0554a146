package filter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/filter"
)

// Where one reading of a pattern differs from another.
func TestOddPatterns(t *testing.T) {
	for _, c := range []struct {
		list, name string
		want       bool
	}{
		{`*.*`, "x", true},
		{`*`, "", false},
		{`*_log`, "_log", true},
		{`*_log`, "app.t_log", false}, // the star repeats the anchor, not a character
		{`+a\.t`, "a.t", true},
		{`?a\.t`, "a.t", true},
		{`a\.t[^*]`, "a.t.", true}, // a star behind ^ inside brackets is a star
		{`a\.t[^*]`, "a.t*", false},
		{`a\.\^*`, "a.^^", true},
		{`a\.\^*`, "a.bb", false},
		{`(^*a)\.t`, "a.t", true},
		{`a\.b,a\.bc|x`, "a.bc", true}, // the longest item is tried first
		{`a|a\.bcd,a\.bc`, "a.bc", false},
		{`ab|a\.b,a\.bcd|x`, "a.b", true}, // only the last alternative of an item ends with it
		{`a\.t{2}`, "a.tt", true},
		{`a\.t{2},b\.t`, "b.t", true},
		{`(?i)A\.T`, "a.t", true},
		{`a\.[[:alpha:]]+`, "a.b", true},
		{`a\.t`, "a.t\n", false},
		{`a.t`, "a\nt", true}, // a dot is a line break too
		{`null\..*`, "null.t", true},
		{`a\.t$`, "a.t", true},
		{`^a\.t`, "a.t", true},
		{` a\.t`, "a.t", false},
		{`a\.t `, "a.t", false},
	} {
		f, err := filter.New(c.list)
		if err != nil {
			t.Errorf("%q: %v", c.list, err)
			continue
		}
		if got := f.Match(c.name); got != c.want {
			t.Errorf("%q on %q is %v, want %v", c.list, c.name, got, c.want)
		}
	}
}

// A client names the list: neither its depth nor its length may stop the process.
func TestHugeLists(t *testing.T) {
	const n = 20_000
	for name, list := range map[string]string{
		"brackets":     strings.Repeat("(", n) + "a" + strings.Repeat(")", n),
		"alternatives": strings.Repeat("a|", n) + "b",
		"items":        strings.Repeat("ab,", n),
		"repeats":      strings.Repeat("(a", 500) + strings.Repeat("){1000}", 500),
		"classes":      strings.Repeat("[a-z]", n),
	} {
		begin := time.Now()
		if f, err := filter.New(list); err == nil {
			f.Match(strings.Repeat("a", 64))
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

// More names than the cache holds get right answers as well.
func TestManyNames(t *testing.T) {
	f, err := filter.New(`shop\.t\d*[02468]`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 110_000 {
		if got := f.Match(fmt.Sprintf("shop.t%d", i)); got != (i%2 == 0) {
			t.Fatalf("t%d: %v", i, got)
		}
	}
}
