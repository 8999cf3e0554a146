package golden

import (
	"reflect"
	"strings"
	"testing"
)

// splitScript makes statements of a script as the command-line client does:
// comments are left out but for those that the server executes or takes as hints,
// DELIMITER changes what ends a statement, and a line break stays.
func splitScript(script string) []string {
	s := splitter{rest: script, delimiter: ";"}
	for s.rest != "" {
		s.step()
	}
	s.finish()
	return s.statements
}

type splitter struct {
	rest       string
	delimiter  string
	statement  strings.Builder
	statements []string
}

func (s *splitter) step() {
	switch {
	case strings.HasPrefix(s.rest, s.delimiter):
		s.rest = s.rest[len(s.delimiter):]
		s.finish()
	case s.blank() && len(s.rest) > 9 && strings.EqualFold(s.rest[:10], "delimiter "):
		line, rest, _ := strings.Cut(s.rest, "\n")
		s.delimiter, s.rest = strings.TrimSpace(line[10:]), rest
	case s.rest[0] == '#', strings.HasPrefix(s.rest, "--") && (len(s.rest) == 2 || strings.ContainsAny(s.rest[2:3], " \t\n")):
		end := strings.IndexByte(s.rest, '\n')
		if end < 0 {
			end = len(s.rest)
		}
		s.rest = s.rest[end:]
	case strings.HasPrefix(s.rest, "/*"):
		n := len(s.rest)
		if end := strings.Index(s.rest[2:], "*/"); end >= 0 {
			n = end + 4
		}
		if len(s.rest) > 2 && strings.ContainsAny(s.rest[2:3], "!+M") {
			s.statement.WriteString(s.rest[:n])
		}
		s.rest = s.rest[n:]
	case strings.ContainsAny(s.rest[:1], "'\"`"):
		s.take(quoted(s.rest))
	default:
		s.take(1)
	}
}

// quoted is the length of what a text begins with, up to the closing quote.
func quoted(text string) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && text[0] != '`':
			i++
		case text[i] == text[0]:
			return i + 1
		}
	}
	return len(text)
}

func (s *splitter) take(n int) {
	s.statement.WriteString(s.rest[:n])
	s.rest = s.rest[n:]
}

func (s *splitter) blank() bool { return strings.TrimSpace(s.statement.String()) == "" }

func (s *splitter) finish() {
	if text := strings.TrimSpace(s.statement.String()); text != "" {
		s.statements = append(s.statements, text)
	}
	s.statement.Reset()
}

func TestSplitScript(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   []string
	}{
		"two":         {"SELECT 1; SELECT 2;\n", []string{"SELECT 1", "SELECT 2"}},
		"no end":      {"SELECT 1;\nSELECT\n2", []string{"SELECT 1", "SELECT\n2"}},
		"quotes":      {"SELECT ';', \"a\\\";\", `b``;`, 'c'';';", []string{"SELECT ';', \"a\\\";\", `b``;`, 'c'';'"}},
		"comments":    {"-- a; b\n/* c; */ SELECT /* d */ 1 -- e;\n, 2 # f;\n;", []string{"SELECT  1 \n, 2"}},
		"executed":    {"SELECT /*!40000 1 */, /*+ X */ 2;", []string{"SELECT /*!40000 1 */, /*+ X */ 2"}},
		"no comment":  {"SELECT 1--1;", []string{"SELECT 1--1"}},
		"in a string": {"SELECT '/* a */ -- b';", []string{"SELECT '/* a */ -- b'"}},
		"delimiter":   {"DELIMITER //\nBEGIN a; END//\ndelimiter ;\nSELECT 1;", []string{"BEGIN a; END", "SELECT 1"}},
		"empty":       {";;  ;\n-- x\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := splitScript(c.script); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
