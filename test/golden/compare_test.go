package golden

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Kinds of differences beyond these are only counted.
const shownDifferences = 10

var (
	// What differs from run to run; the source's own list of events tells whether it is right.
	volatile = regexp.MustCompile(`^(header\.(logfileName|logfileOffset|executeTime|serverId)|transactionBegin\.threadId|rowChange\.tableId)$`)
	uuid     = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	counter  = regexp.MustCompile(`\[\d+\]`)
)

// difference is one field that is not as recorded.
type difference struct {
	entry int // index in the recording
	title string
	path  string
	got   any
	want  any
}

func (d difference) String() string {
	return fmt.Sprintf("entry %d (%s) %s: got %s, want %s", d.entry, d.title, d.path, show(d.got), show(d.want))
}

// absent stands for what is not on one of the two sides.
type absent struct{}

func show(v any) string {
	if _, ok := v.(absent); ok {
		return "(absent)"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return shorten(string(b))
}

func shorten(s string) string {
	const most = 300
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// compare tells how the entries differ from the recorded ones: the first
// difference of each kind, and how many there are of it.
//
// Those that the file of wanted differences has, by the script's name, are left
// out; one that it has and that is none any more is an error.
func compare(t *testing.T, name string, got, want []entry) {
	t.Helper()
	var all []difference
	wanted := readDifferences(t, name)
	for _, p := range align(got, want) {
		switch {
		case p.want < 0:
			all = append(all, difference{p.near, title(got[p.got]), "", "one more entry", absent{}})
		case p.got < 0:
			all = append(all, difference{p.want, title(want[p.want]), "", absent{}, "this entry"})
		default:
			g, w := got[p.got], want[p.want]
			compareValues("", map[string]any(g), map[string]any(w), func(path string, gv, wv any) {
				key := fmt.Sprintf("%d %s", p.want, path)
				if pinned, ok := wanted[key]; ok && pinned == literal(gv)+" "+literal(wv) {
					delete(wanted, key)
				} else if !mayDiffer(path, gv, wv, w) {
					all = append(all, difference{p.want, title(w), path, gv, wv})
				}
			})
		}
	}
	for key, values := range wanted {
		t.Errorf("no more a difference: %s %s", key, values)
	}
	if len(all) == 0 {
		return
	}
	counts := map[string]int{}
	for _, d := range all {
		kind := counter.ReplaceAllString(d.path, "[]")
		if kind == "" {
			kind = "whole entries"
		}
		if counts[kind] == 0 && len(counts) < shownDifferences {
			t.Errorf("%s", d)
		}
		counts[kind]++
	}
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprintf("%s %d", path, counts[path]))
	}
	t.Errorf("%d differences in %d entries, %d recorded: %s", len(all), len(got), len(want), strings.Join(lines, ", "))
}

// readDifferences reads the differences that are wanted for a script: values as
// canald sends them and as they are recorded, by entry and path.
func readDifferences(t *testing.T, name string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "differences.txt"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.SplitN(line, " ", 4)
		if len(words) != 4 {
			t.Fatalf("differences.txt: %q", line)
		}
		if words[0] == name {
			wanted[words[1]+" "+words[2]] = words[3]
		}
	}
	return wanted
}

// mayDiffer tells whether a difference is one of two runs of the same server.
func mayDiffer(path string, got, want any, w entry) bool {
	if _, ok := got.(absent); ok {
		return false
	}
	if _, ok := want.(absent); ok {
		return false
	}
	switch {
	case volatile.MatchString(path):
		return true
	case path == "header.eventLength":
		// QUERY events hold ids and times of varying length: all but rows and the xid.
		return len(w.rows()) == 0 || compressed(w)
	case path == "transactionEnd.transactionId":
		return got != "0" && want != "0"
	}
	g, _ := got.(string)
	v, _ := want.(string)
	return uuid.MatchString(g) && uuid.MatchString(v)
}

// compressed tells whether a recorded row lies in a compressed transaction, whose
// entries all have the length of the event that holds them: script 13 compresses
// what it does to this table.
func compressed(w entry) bool {
	return w.text("header", "schemaName") == "g13" && w.text("header", "tableName") == "z"
}

// compareValues calls report for each leaf that differs.
func compareValues(path string, got, want any, report func(path string, got, want any)) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		names := slices.Sorted(maps.Keys(w))
		for name := range g {
			if _, ok := w[name]; !ok {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			below := strings.TrimPrefix(path+"."+name, ".")
			compareValues(below, orAbsent(g, name), orAbsent(w, name), report)
		}
		return
	case []any:
		g, ok := got.([]any)
		if !ok {
			break
		}
		for i := range max(len(g), len(w)) {
			below := fmt.Sprintf("%s[%d]", path, i)
			switch {
			case i >= len(g):
				report(below, absent{}, w[i])
			case i >= len(w):
				report(below, g[i], absent{})
			default:
				compareValues(below, g[i], w[i], report)
			}
		}
		return
	}
	if !reflect.DeepEqual(got, want) {
		report(path, got, want)
	}
}

func orAbsent(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return v
	}
	return absent{}
}

// title names an entry for people.
func title(e entry) string {
	switch e.number("entryType") {
	case typeBegin:
		return "begin"
	case typeEnd:
		return "end"
	}
	name := e.text("header", "schemaName") + "." + e.text("header", "tableName")
	if sql := e.text("rowChange", "sql"); sql != "" {
		return fmt.Sprintf("%s %.100s", name, sql)
	}
	return fmt.Sprintf("%s, %d rows", name, len(e.rows()))
}

// match is an entry with its counterpart; -1 where there is none.
type match struct{ got, want, near int }

// align finds which entries belong together: the longest list of those that
// agree in what they are about, so that one that is missing is named once.
func align(got, want []entry) []match {
	g, w := signatures(got), signatures(want)
	length := make([][]int, len(g)+1)
	for i := range length {
		length[i] = make([]int, len(w)+1)
	}
	for i, a := range slices.Backward(g) {
		for j, b := range slices.Backward(w) {
			if a == b {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var list []match
	i, j := 0, 0
	for i < len(g) || j < len(w) {
		switch {
		case i < len(g) && j < len(w) && g[i] == w[j]:
			list = append(list, match{i, j, j})
			i, j = i+1, j+1
		case j >= len(w) || i < len(g) && length[i+1][j] >= length[i][j+1]:
			list = append(list, match{i, -1, j})
			i++
		default:
			list = append(list, match{-1, j, j})
			j++
		}
	}
	return list
}

func signatures(entries []entry) []string {
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = fmt.Sprint(e.number("entryType"), e.at("rowChange", "sql"), len(e.rows()))
		if len(e.rows()) > 0 {
			list[i] += e.text("header", "tableName") + strconv.FormatInt(e.number("rowChange", "eventType"), 10)
		}
	}
	return list
}

// compareRows compares all rows of a script with a file that holds them; see
// testdata/README.md for its form.
func compareRows(t *testing.T, path string, got []entry) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	var lines []string
	for _, e := range got {
		for _, row := range e.rows() {
			lines = append(lines, rowLine(e, row))
		}
	}
	shown := 0
	for i := range max(len(lines), len(want)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(lines) {
			g = lines[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w && shown < shownDifferences {
			shown++
			t.Errorf("row %d:\n got  %s\n want %s", i, shorten(g), shorten(w))
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d rows, want %d", len(lines), len(want))
	}
}

// literal is a value as the files below beyond have it: a time of this run is
// "(now)", the others are JSON.
func literal(v any) string {
	if s, ok := v.(string); ok && strings.HasPrefix(s, strconv.Itoa(time.Now().UTC().Year())+"-") && len(s) == len("2026-01-02 03:04:05.678901") {
		return "(now)"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// rowLine is a row as the files below beyond have it.
func rowLine(e entry, row any) string {
	var b strings.Builder
	event := map[int64]string{eventInsert: "INSERT", eventUpdate: "UPDATE", eventDelete: "DELETE"}[e.number("header", "eventType")]
	fmt.Fprintf(&b, "%s %s.%s", event, e.text("header", "schemaName"), e.text("header", "tableName"))
	write := func(columns []map[string]any) {
		for _, c := range columns {
			key, value := "", "NULL"
			if c["isKey"] == true {
				key = "*"
			}
			if c["isNull"] == false {
				value = literal(c["value"])
			}
			fmt.Fprintf(&b, " %s%s=%s", c["name"], key, value)
		}
	}
	write(columnsOf(row, "before"))
	if event == "UPDATE" {
		b.WriteString(" ->")
	}
	write(columnsOf(row, "after"))
	return b.String()
}
