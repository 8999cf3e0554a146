package truth

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"github.com/canald/canald/test/harness"
)

// generator makes a script: the same for the same seed and server.
type generator struct {
	*rand.Rand
	v       harness.Version
	schemas []string
	serial  int
	steps   int // pieces of the script that are left
	ansi    bool
	down    int  // pieces until canald is started or resumed again
	paused  bool // rather than stopped
	started bool
	minimal bool // row images have not all columns
	// MyISAM's tables keep what is rolled back, and the binlog has it with a
	// ROLLBACK TO that Canal does not tell of: there is either of the two.
	noRollback bool
}

// schemasOf are the databases of a seed: one plain, one odd.
func schemasOf(seed int) []string {
	return []string{fmt.Sprintf("truth_%d", seed), fmt.Sprintf("tr`uth %d ö", seed)}
}

// newGenerator also gives the settings of the server for the seed.
func newGenerator(v harness.Version, seed int) (g *generator, settings []string) {
	g = &generator{Rand: rand.New(rand.NewPCG(uint64(seed), 20)), v: v, schemas: schemasOf(seed)}
	g.steps = 20 + g.IntN(25)
	g.noRollback = g.one(6)
	switch {
	case v.MySQL() && v.AtLeast(8, 0), !v.MySQL() && v.AtLeast(10, 5):
		levels := []string{"MINIMAL", "MINIMAL", "FULL"}
		if !v.MySQL() {
			levels = []string{"NO_LOG", "MINIMAL", "FULL"}
		}
		settings = append(settings, "SET GLOBAL binlog_row_metadata="+pick(g, levels))
	}
	if !v.MySQL() {
		settings = append(settings, "SET GLOBAL log_bin_compress="+pick(g, []string{"OFF", "OFF", "ON"}), "SET GLOBAL log_bin_compress_min_len=10")
	}
	return g, settings
}

func pick[T any](g *generator, list []T) T { return list[g.IntN(len(list))] }

// one says yes once in n times.
func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

func (g *generator) number() int { g.serial++; return g.serial }

// next is the source of a script's lines.
func (g *generator) next(now snapshot) []line {
	if !g.started {
		g.started = true
		return g.begin()
	}
	if g.steps == 0 {
		return nil
	}
	g.steps--
	lines := g.fate()
	names := now.names()
	switch {
	case len(names) == 0 || len(names) < 5 && g.one(6):
		lines = append(lines, g.create(now)...)
	case g.one(3):
		lines = append(lines, g.change(now)...)
	default:
		lines = append(lines, g.transaction(now)...)
	}
	if !calm {
		return lines
	}
	var waiting []line
	switch {
	case g.one(40):
		waiting = []line{{pick(g, []string{actionStop, actionKill}), action}, {actionStart, action}}
	case g.one(20):
		waiting = []line{{actionPause, action}}
	}
	for _, l := range lines {
		switch l.kind {
		case ddl:
			waiting = append(waiting, line{actionResume, action}, line{actionDrain, action}, l)
		case dml, quiet:
			waiting = append(waiting, l)
		case action:
		}
	}
	return waiting
}

func (g *generator) begin() []line {
	var lines []line
	set := func(sql string) { lines = append(lines, line{sql, dml}) }
	if g.v.AtLeast(5, 6) && g.one(2) {
		g.minimal = true
		set("SET SESSION binlog_row_image=" + pick(g, []string{"MINIMAL", "NOBLOB"}))
	}
	if g.v.MySQL() && g.v.AtLeast(8, 0) && g.one(3) {
		set("SET SESSION binlog_transaction_compression=ON")
	}
	if g.v.MySQL() && g.v.AtLeast(8, 0) && g.one(8) {
		set("SET SESSION sql_generate_invisible_primary_key=ON")
	}
	if g.one(5) {
		g.ansi = true
		set("SET SESSION sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES'")
	}
	if g.one(15) {
		set("SET NAMES latin1")
	}
	if g.one(8) {
		set("SET SESSION autocommit=0")
	}
	if g.one(6) {
		set("USE " + backQuote(g.schemas[1]))
		slices.Reverse(g.schemas)
	}
	return lines
}

// fate stops, pauses and starts canald, and lets the client read.
func (g *generator) fate() []line {
	if g.down > 0 {
		if g.down--; g.down > 0 {
			return nil
		}
		if g.paused {
			return []line{{actionResume, action}}
		}
		return []line{{actionStart, action}, {actionDrain, action}}
	}
	switch {
	case g.one(60):
		g.down, g.paused = 1+g.IntN(8), false
		return []line{{pick(g, []string{actionStop, actionKill}), action}}
	case g.one(20):
		g.down, g.paused = 2+g.IntN(8), true
		return []line{{actionPause, action}}
	case g.one(12):
		return []line{{actionDrain, action}}
	case g.one(40):
		return []line{{"FLUSH BINARY LOGS", quiet}}
	}
	return nil
}

var (
	keyword   = regexp.MustCompile(`^[A-Z]+$`)
	plainName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	reserved  = []string{"select", "order", "table", "key", "primary", "index", "group", "from", "add", "column", "unique", "check", "default", "constraint", "to"}
	// Words of the language that may stand as names without quotes.
	bareNames = []string{"first", "after", "comment", "date", "engine", "bit", "enum", "modify", "visible", "algorithm", "columns", "hash", "text", "time", "value", "no", "action", "pay$d", "type", "status"}
	oddNames  = []string{
		"a b", "quo`te", "d\"q", "semi;colon", "com,ma", "par(en", "close)", "列", "ключ", "dash-ed", "UPPER", "1digit", "x_commit", "to_begin",
		"-- c", "/* c */", "it's", "back\\slash", "ünï", "a.b", "#hash", "if", "exists", "like",
		"partition", "fulltext", "spatial", "foreign", "drop", "change", "rename", "``", "DEFAULT ", "=",
	}
)

// name makes a name that is not among the others, whatever the case.
func (g *generator) name(others []string) string {
	for {
		var n string
		switch g.IntN(6) {
		case 5:
			n = pick(g, bareNames)
		case 0:
			n = strings.TrimSpace(pick(g, oddNames))
		case 1:
			n = pick(g, reserved)
		default:
			n = fmt.Sprintf("%s%d", pick(g, []string{"c", "v", "col_", "Name"}), g.IntN(30))
		}
		if !slices.ContainsFunc(others, func(o string) bool { return strings.EqualFold(o, n) }) {
			return n
		}
	}
}

// quote writes a name in one of the ways that the session understands.
func (g *generator) quote(name string) string {
	switch {
	case slices.Contains(bareNames, name) && g.one(2):
		return name
	case plainName.MatchString(name) && !slices.Contains(reserved, strings.ToLower(name)) && !slices.Contains(oddNames, name) && g.one(2):
		return name
	case g.ansi && g.one(2):
		return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	default:
		return backQuote(name)
	}
}

// of writes a table's name, with its database where it must and sometimes else.
func (g *generator) of(n tableName) string {
	if n.schema == g.schemas[0] && !g.one(4) {
		return g.quote(n.table)
	}
	return g.quote(n.schema) + pick(g, []string{".", ".", ".", " . "}) + g.quote(n.table)
}

// newTable makes a name that no table has.
func (g *generator) newTable(now snapshot) tableName {
	schema := g.schemas[0]
	if g.one(5) {
		schema = g.schemas[1]
	}
	var others []string
	for n := range now {
		others = append(others, n.table)
	}
	n := tableName{schema, g.name(others)}
	if g.one(2) {
		n.table = fmt.Sprintf("t%d", g.number())
	}
	return n
}

// text writes a string literal.
func (g *generator) text(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	if !g.ansi {
		s = strings.ReplaceAll(s, `\`, `\\`)
	}
	return "'" + s + "'"
}

// words writes what the server reads as one blank in odd ways: case, white space
// and comments. Literals and names must not hold the marker.
func (g *generator) words(sql string) string {
	const gap = "␣"
	var b strings.Builder
	for i, part := range strings.Split(sql, gap) {
		if i > 0 {
			b.WriteString(pick(g, []string{" ", " ", " ", " ", " ", "\n", "  ", "\t", " /* , DROP COLUMN x ( */ ", " -- it's\n", " # `\n"}))
		}
		if g.one(6) && keyword.MatchString(part) {
			part = strings.ToLower(part)
		}
		b.WriteString(part)
	}
	return b.String()
}
