// Package filter matches table names against Canal's pattern lists.
//
// A list is split at commas outside of brackets; the items are Perl patterns
// that must match a whole "schema.table", lower-cased. A Filter is immutable but
// for its cache of answers and may be used by several goroutines.
package filter

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dlclark/regexp2"
)

// Bounds of a list and of one match.
const (
	maxPatternBytes = 1 << 20
	maxCached       = 100_000
	matchTimeout    = time.Second
)

// Filter is a compiled list.
type Filter struct {
	list  string
	re    *regexp2.Regexp // nil for an empty list
	cache sync.Map        // name → bool
	size  struct {
		sync.Mutex
		n int
	}
}

// New compiles a list. The error names the item that does not compile.
func New(list string) (*Filter, error) {
	if len(list) > maxPatternBytes {
		return nil, fmt.Errorf("pattern list of %d bytes, more than %d", len(list), maxPatternBytes)
	}
	items := Split(list)
	if len(items) == 0 {
		return &Filter{list: list}, nil
	}
	slices.SortStableFunc(items, func(a, b string) int { return len(b) - len(a) })
	wrapped := make([]string, len(items))
	for i, item := range items {
		item = strings.TrimLeft(item, leadingQuantifiers)
		// On its own too: a backslash at the end would make a letter of the "$".
		for _, p := range []string{item, "^" + item + "$"} {
			if _, err := compile(p); err != nil {
				return nil, fmt.Errorf("pattern %q: %w", items[i], err)
			}
		}
		wrapped[i] = "^" + item + "$"
	}
	re, err := compile(strings.Join(wrapped, "|"))
	if err != nil {
		return nil, fmt.Errorf("pattern list %q: %w", list, err)
	}
	return &Filter{list: list, re: re}, nil
}

// leadingQuantifiers stand at the start of a pattern such as "*.*". Canal's
// engine takes them to repeat the "^" before the pattern, which changes nothing.
const leadingQuantifiers = "*+?"

// classes are the bracket names that Canal's engine knows and this one does not.
var classes = strings.NewReplacer(
	"[:alpha:]", `\p{L}`, "[:lower:]", `\p{L}`, "[:upper:]", `\p{L}`, // names and patterns have no case
	"[:alnum:]", `\p{L}\p{Nd}`, "[:digit:]", `\d`, "[:word:]", `\w`, "[:space:]", `\s`,
	"[:punct:]", `\p{P}\p{S}`, "[:xdigit:]", `0-9a-f`,
)

func compile(pattern string) (*regexp2.Regexp, error) {
	re, err := regexp2.Compile(classes.Replace(pattern), regexp2.IgnoreCase|regexp2.Singleline)
	if err != nil {
		return nil, err
	}
	re.MatchTimeout = matchTimeout
	return re, nil
}

// String is the list as it was given.
func (f *Filter) String() string { return f.list }

// Empty tells whether the list had no item.
func (f *Filter) Empty() bool { return f == nil || f.re == nil }

// Match tells whether a name matches. An empty list matches nothing; callers
// decide what that means. The first alternative that matches at the start
// decides, and it must span the whole name. A match that takes too long counts
// as none.
func (f *Filter) Match(name string) bool {
	if f.Empty() || name == "" {
		return false
	}
	if v, ok := f.cache.Load(name); ok {
		return v.(bool)
	}
	target := strings.ToLower(name)
	m, err := f.re.FindStringMatch(target)
	ok := err == nil && m != nil && m.Index == 0 && m.Length == len([]rune(target))
	f.size.Lock()
	if f.size.n < maxCached {
		f.size.n++
		f.cache.Store(name, ok)
	}
	f.size.Unlock()
	return ok
}

// Passes applies a white and a black list to a name: a white list that is not
// empty must match it, the black list must not.
func Passes(white, black *Filter, name string) bool {
	return (white.Empty() || white.Match(name)) && (black.Empty() || !black.Match(name))
}

// Split cuts a list at commas outside of {}, [] and (); a backslash protects the
// character behind it. Empty items are dropped, blanks are part of an item.
func Split(list string) []string {
	var items []string
	start := 0
	var braces, brackets, parens int
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case '\\':
			i++
		case '{':
			braces++
		case '}':
			braces--
		case '[':
			brackets++
		case ']':
			brackets--
		case '(':
			parens++
		case ')':
			parens--
		case ',':
			if braces <= 0 && brackets <= 0 && parens <= 0 {
				items = append(items, list[start:i])
				start = i + 1
			}
		}
	}
	items = append(items, list[start:])
	return slices.DeleteFunc(items, func(s string) bool { return s == "" })
}
