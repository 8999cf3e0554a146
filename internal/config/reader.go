package config

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

// readFile reads at most one byte more than a file may have: its caller says
// what is too much.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return readAll(f, make([]byte, 0, 8<<10))
}

// readAll reads at most one byte more than a file may have.
func readAll(r io.Reader, buf []byte) ([]byte, error) {
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF || len(buf) > maxFileBytes {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// value is the final text of a key with where it came from.
type value struct {
	property
	key    string
	secret bool
}

// deployerValue is a key of the server: trimmed, references left alone.
func (l *layers) deployerValue(key string) (value, error) {
	p, _ := l.find(key)
	p.text = strings.TrimSpace(p.text)
	if p.text == "" && key != keyWithoutNetty {
		p.text = keyByName[key].Default
	}
	return value{property: p, key: key, secret: isSecret(key)}, nil
}

// instanceValue is a key of an instance, with its references resolved.
func (l *layers) instanceValue(key string) (value, error) {
	p, set := l.find(key)
	v := value{property: p, key: key, secret: isSecret(key)}
	if !set {
		return v, nil
	}
	var err error
	v.text, v.secret, err = l.expand(key, p.text)
	if v.text == "" && err == nil {
		v.text = keyByName[key].Default
	}
	return v, err
}

// reader converts values and gathers what is wrong with them.
type reader struct {
	get  func(key string) (value, error)
	errs []error
}

func (r *reader) fail(v value, what string) {
	r.errs = append(r.errs, &problem{file: v.file, line: v.line, key: v.key, value: v.text, masked: v.secret, what: what})
}

func (r *reader) value(key string) value {
	v, err := r.get(key)
	if err != nil {
		r.errs = append(r.errs, &problem{file: v.file, line: v.line, key: key, masked: true, what: err.Error()})
		v.text = keyByName[key].Default
	}
	return v
}

func (r *reader) text(key string) string { return r.value(key).text }

// boolean reads what Spring reads as one.
func (r *reader) boolean(key string) bool {
	v := r.value(key)
	switch strings.ToLower(v.text) {
	case "true", "on", "yes", "1":
		return true
	case "false", "off", "no", "0", "":
		return false
	}
	r.fail(v, "not a boolean; true or false is expected")
	return false
}

// integer reads a decimal number; an empty one is 0 whatever the bounds.
func (r *reader) integer(key string, low, high int64) int64 {
	v := r.value(key)
	if v.text == "" {
		return 0
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	switch {
	case err != nil:
		r.fail(v, "not a number")
	case n < low || n > high:
		r.fail(v, fmt.Sprintf("must be from %d to %d", low, high))
	default:
		return n
	}
	return 0
}

// listener reads where to listen: an address, which may be empty, and a port.
func (r *reader) listener(ipKey, portKey string, lowPort int64) (addr string, port int64) {
	ip, port := r.value(ipKey), r.integer(portKey, lowPort, 65535)
	if strings.ContainsAny(ip.text, " \t/") {
		r.fail(ip, "not an address")
	}
	return net.JoinHostPort(strings.Trim(ip.text, "[]"), strconv.FormatInt(port, 10)), port
}

func (r *reader) powerOfTwo(key, complaint string, high int64) int64 {
	n := r.integer(key, 1, high)
	if n&(n-1) != 0 {
		r.fail(r.value(key), complaint)
	}
	return n
}

// oneOf reads a word of a list, in any case.
func (r *reader) oneOf(key string, words ...string) string {
	v := r.value(key)
	for _, w := range words {
		if strings.EqualFold(v.text, w) {
			return w
		}
	}
	r.fail(v, "must be one of "+strings.Join(words, ", "))
	return words[0]
}

// listOf keeps the known words of a comma list; others mean nothing to Canal either.
func (r *reader) listOf(key string, words ...string) []string {
	var out []string
	for item := range strings.SplitSeq(r.text(key), ",") {
		for _, w := range words {
			if strings.EqualFold(strings.TrimSpace(item), w) {
				out = append(out, w)
			}
		}
	}
	return out
}

// refuse reports features of Canal that are switched on but not built yet.
func (r *reader) refuse(key, what string) {
	v := r.value(key)
	switch strings.ToLower(v.text) {
	case "", "false", "off", "no", "0":
	default:
		r.fail(v, what+" not part of this version; leave it empty or false")
	}
}
