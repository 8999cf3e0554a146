// Package check looks at an installation as an experienced operator would, and
// says in plain words what is wrong, why it matters and what repairs it. It
// changes nothing: neither files nor sources.
package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Level says how bad a finding is.
type Level string

// The levels: a Problem must be repaired before the instance can work, a Warning
// is a risk, a Note is worth knowing, OK was looked at and found right.
const (
	Problem Level = "problem"
	Warning Level = "warning"
	Note    Level = "note"
	OK      Level = "ok"
)

// Finding is one thing that was looked at.
type Finding struct {
	Level   Level  `json:"level"`
	Subject string `json:"subject"` // configuration, server, or a destination
	Code    string `json:"code"`    // a short name that stays the same, for scripts
	What    string `json:"what"`
	Why     string `json:"why,omitempty"`
	Repair  string `json:"repair,omitempty"` // the statement, line or command
}

// Report is what a check found, in the order in which it looked.
type Report struct {
	Home     string    `json:"home"`
	Findings []Finding `json:"findings"`
}

// Count is the number of findings of a level.
func (r *Report) Count(l Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

func (r *Report) add(f Finding) { r.Findings = append(r.Findings, f) }

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report as a page.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", r.Home)
	subject := ""
	for _, f := range r.Findings {
		if f.Subject != subject {
			subject = f.Subject
			fmt.Fprintf(&b, "\n%s\n", subject)
		}
		word := string(f.Level)
		if f.Level == Problem {
			word = "PROBLEM"
		}
		fmt.Fprintf(&b, "  %-8s %s\n", word, indent(f.What))
		if f.Why != "" {
			fmt.Fprintf(&b, "           why:    %s\n", indent(f.Why))
		}
		if f.Repair != "" {
			fmt.Fprintf(&b, "           repair: %s\n", indent(f.Repair))
		}
	}
	fmt.Fprintf(&b, "\n%d problems, %d warnings\n", r.Count(Problem), r.Count(Warning))
	_, err := io.WriteString(w, b.String())
	return err
}

// indent keeps the lines of a text below its first, and control characters out.
func indent(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n                   ")
}
