// Package truth checks that the stream alone tells what the database holds. A
// generator makes tables of all kinds, changes rows and structures at random from
// a seed, stops, kills and pauses canald in between; then tables that are rebuilt
// from nothing but the entries must equal the database's.
//
// CANALD_TRUTH_SEEDS asks for seeds ("7" or "1-200"), CANALD_TRUTH_SECONDS for
// as many as fit in a time, CANALD_TRUTH_REDUCE_SECONDS for more or less time to
// make a failing script small, CANALD_TRUTH_CALM for a canald that
// has read everything before each change of structures,
// CANALD_TRUTH_VERBOSE for what the server refuses, CANALD_TEST_SOURCES for servers.
package truth

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

const (
	usualSeeds = "1-40"
	// How long a failing script is made smaller.
	reduceSeconds = 30
	// Failures of a class that has been shown are only counted.
	shownOfClass = 1
)

var (
	// verbose logs the statements that the server refuses.
	verbose = os.Getenv("CANALD_TRUTH_VERBOSE") != ""
	// calm lets canald read everything before each change of structures: what fails
	// then has nothing to do with their history.
	calm = os.Getenv("CANALD_TRUTH_CALM") != ""
)

func TestTruth(t *testing.T) {
	// TIMESTAMPs are told in the process's zone.
	t.Setenv("TZ", "UTC")
	for _, v := range harness.Versions() {
		t.Run(string(v), func(t *testing.T) {
			first, last := seeds(t)
			w := newWorld(t, v)
			classes := map[string][]string{}
			began, end := time.Now(), deadline(t, "CANALD_TRUTH_SECONDS", 0)
			done := 0
			for seed := first; seed <= last && (end.IsZero() || time.Now().Before(end)); seed++ {
				done++
				if f := w.seed(seed, len(classes)); f != nil {
					classes[f.class] = append(classes[f.class], strconv.Itoa(seed))
					if len(classes[f.class]) <= shownOfClass {
						t.Errorf("%s", f.text)
					}
				}
			}
			t.Logf("%d seeds in %.1f s: %d statements, of which %d were refused; %d changes of structures, %d transactions, %d entries", done,
				time.Since(began).Seconds(), w.counts.statements, w.counts.refused, w.counts.structures, w.counts.transactions, w.counts.entries)
			for _, class := range slices.Sorted(maps.Keys(classes)) {
				t.Errorf("%s: %d seeds: %s", class, len(classes[class]), strings.Join(classes[class], " "))
			}
		})
	}
}

// seeds is the range that is asked for.
func seeds(t *testing.T) (first, last int) {
	t.Helper()
	text := os.Getenv("CANALD_TRUTH_SEEDS")
	if text == "" {
		text = usualSeeds
		if os.Getenv("CANALD_TRUTH_SECONDS") != "" {
			text = "1-1000000"
		}
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || first < 0 || last < first {
		t.Fatalf("CANALD_TRUTH_SEEDS=%q is neither a seed nor a range of them", text)
	}
	return first, last
}

// deadline is so many seconds from now as the variable says; zero for none.
func deadline(t *testing.T, variable string, usual int) time.Time {
	t.Helper()
	n := usual
	if text := os.Getenv(variable); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s=%q: %v", variable, text, err)
		}
	}
	if n == 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(n) * time.Second)
}

// seed runs one seed. A failure has the smallest script that was found; with many
// classes of failures only the whole script's length is told.
func (w *world) seed(seed, classes int) *failure {
	w.t.Helper()
	g, settings := newGenerator(w.s.Version, seed)
	schemas := schemasOf(seed)
	script, f := w.run(schemas, settings, g.next)
	defer func() {
		for _, s := range schemas {
			w.must("DROP DATABASE IF EXISTS " + backQuote(s))
		}
	}()
	if f == nil {
		return nil
	}
	class, whole := f.class, len(script)
	if strings.HasPrefix(f.class, "canald stops") {
		w.begin()
	}
	const mostReduced = 6
	if !w.known[class] && classes < mostReduced {
		end := deadline(w.t, "CANALD_TRUTH_REDUCE_SECONDS", reduceSeconds)
		script, f = w.reduce(schemas, settings, script, f, func() bool { return time.Now().After(end) })
		if strings.HasPrefix(f.class, "canald stops") {
			w.begin()
		}
	}
	w.known[class] = true
	return &failure{class, fmt.Sprintf("seed %d on %s: %s\n  %s\n  %d of %d lines:\n%s", seed, w.s.Version, class, f.text, len(script), whole, listing(settings, script))}
}
