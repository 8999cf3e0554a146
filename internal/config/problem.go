package config

import (
	"errors"
	"fmt"
	"strings"
)

var errBadEscape = errors.New(`malformed \uXXXX escape`)

// problem is one thing wrong with the configuration. Its text is
// file:line: key: "value": what is wrong.
type problem struct {
	file   string
	line   int
	key    string
	value  string
	masked bool // there is no value, or it may not be shown
	what   string
}

// shownBytes bounds what a problem shows of a value.
const shownBytes = 200

func (p *problem) Error() string {
	var b strings.Builder
	if p.file != "" {
		b.WriteString(p.file)
		if p.line > 0 {
			fmt.Fprintf(&b, ":%d", p.line)
		}
		b.WriteString(": ")
	}
	if p.key != "" {
		b.WriteString(p.key + ": ")
		if !p.masked {
			v := p.value
			if len(v) > shownBytes {
				v = v[:shownBytes] + "…"
			}
			fmt.Fprintf(&b, "%q: ", v)
		}
	}
	b.WriteString(p.what)
	return b.String()
}

// isSecret tells whether values of a key must never be shown.
func isSecret(key string) bool {
	k := strings.ToLower(key)
	for _, word := range []string{"passw", "secret", "accesskey", "token"} {
		if strings.Contains(k, word) {
			return true
		}
	}
	return false
}
