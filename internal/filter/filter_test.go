package filter_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/canald/canald/internal/filter"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		list, name string
		want       bool
	}{
		{`.*\..*`, "shop.orders", true},
		{`*.*`, "shop.orders", true},
		{`shop\..*`, "shop.orders", true},
		{`shop\..*`, "SHOP.Orders", true},
		{`SHOP\..*`, "shop.orders", true},
		{`shop\..*`, "workshop.orders", false},
		{`shop\..*`, "shop2.orders", false},
		{`test.t1`, "testxt1", true}, // a dot is any character
		{`test\.*`, "test.t1", false},
		{`a\..*,b\..*`, "b.x", true},
		{`a\..*, b\..*`, "b.x", false}, // items are not trimmed
		{`a\..*,`, "a.x", true},
		{`a\.t{1,2}`, "a.tt", true}, // a comma inside braces separates nothing
		{`a\.[x,y]`, "a.y", true},
		{`a\.(x,y|z)`, "a.z", true},
		{`foo|foot`, "foo", true},
		{`foo|foot`, "foot", false}, // the first alternative that matches decides
		{`(foo|foot)`, "foot", true},
		{`a\.(?!tmp).*`, "a.tmp1", false},
		{`a\.(?!tmp).*`, "a.orders", true},
		{`(\w)\w*\.\1.*`, "shop.sales", true},
		{`(\w)\w*\.\1.*`, "shop.orders", false},
		{`shop\.订单`, "shop.订单", true},
		{``, "shop.orders", false},
		{`,,`, "shop.orders", false},
		{`.*`, "", false},
	} {
		f, err := filter.New(c.list)
		if err != nil {
			t.Errorf("%q: %v", c.list, err)
			continue
		}
		for range 2 { // the second answer comes from the cache
			if got := f.Match(c.name); got != c.want {
				t.Errorf("%q on %q is %v, want %v", c.list, c.name, got, c.want)
			}
		}
	}
}

func TestInvalid(t *testing.T) {
	for _, list := range []string{"(", "[a-", "a)", `\`, `a\..*,(`, "(?<", strings.Repeat("a", 2<<20)} {
		if _, err := filter.New(list); err == nil {
			t.Errorf("%.20q was accepted", list)
		}
	}
}

func TestEmpty(t *testing.T) {
	for list, want := range map[string]bool{"": true, ",": true, "a": false, " ": false} {
		f, err := filter.New(list)
		if err != nil || f.Empty() != want {
			t.Errorf("%q: %v, %v", list, f.Empty(), err)
		}
	}
}

func TestSplit(t *testing.T) {
	for list, want := range map[string][]string{
		`a,b`:           {"a", "b"},
		`a\,b,c`:        {`a\,b`, "c"},
		`a{1,2},b`:      {"a{1,2}", "b"},
		`,a,,b,`:        {"a", "b"},
		`[(],x),y`:      {"[(],x)", "y"},
		`a\`:            {`a\`},
		`(a,b),[c,d],e`: {"(a,b)", "[c,d]", "e"},
	} {
		if got := filter.Split(list); !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", list, got, want)
		}
	}
}

// A pattern that backtracks without end is cut off and counts as no match.
func TestCatastrophicPattern(t *testing.T) {
	f, err := filter.New(`(a+)+b`)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if f.Match(strings.Repeat("a", 60)) {
		t.Error("matched")
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestConcurrentMatches(t *testing.T) {
	f, err := filter.New(`shop\..*`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				name := "shop.t" + string(rune('a'+i%26))
				if !f.Match(name) {
					t.Errorf("%s does not match", name)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzFilter(f *testing.F) {
	f.Add(`.*\..*`, "a.b")
	f.Add(`foo|foot,[a`, "foot")
	f.Fuzz(func(t *testing.T, list, name string) {
		if len(list) > 200 || len(name) > 50 {
			return
		}
		fl, err := filter.New(list)
		if err != nil {
			return
		}
		if first := fl.Match(name); first != fl.Match(name) {
			t.Fatal("two answers")
		}
	})
}
