// Package tail shows changes as lines: live from a source, by the server's own
// engine, or as a Canal server delivers them. It needs no configuration and
// keeps no state.
package tail

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Source is what a URL of a source says.
type Source struct {
	Addr        string // host:port
	User        string
	Password    string
	HasPassword bool   // even an empty one
	TLS         string // as canal.instance.master.sslMode writes it
	Filter      string // patterns of schema.table, as canal.instance.filter.regex has them
}

const defaultPort = "3306"

var tlsModes = []string{"DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"}

// ParseSource reads mysql://user:password@host:port/schema.table,schema?tls=MODE.
// A * in a name stands for any text. No error shows the password.
func ParseSource(text string) (Source, error) {
	s := Source{TLS: "PREFERRED", Filter: `.*\..*`}
	rest, ok := strings.CutPrefix(text, "mysql://")
	if !ok {
		return s, errors.New("mysql://user@host:port[/schema.table…] is expected")
	}
	rest, query, _ := strings.Cut(rest, "?")
	rest, tables, _ := strings.Cut(rest, "/")
	host := rest
	if at := strings.LastIndexByte(rest, '@'); at >= 0 { // a password may hold one
		user, password, has := strings.Cut(rest[:at], ":")
		var err, err2 error
		s.User, err = url.PathUnescape(user)
		s.Password, err2 = url.PathUnescape(password)
		if err != nil || err2 != nil {
			return s, errors.New("user or password has a bad %XX")
		}
		s.HasPassword, host = has, rest[at+1:]
	}
	var err error
	if s.Addr, err = address(host, defaultPort); err != nil {
		return s, err
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return s, errors.New("what stands behind the ? cannot be read")
	}
	for k, v := range values {
		if k != "tls" {
			return s, fmt.Errorf("%q is no option; tls is", k)
		}
		s.TLS = ""
		for _, m := range tlsModes {
			if strings.EqualFold(m, v[0]) {
				s.TLS = m
			}
		}
		if s.TLS == "" {
			return s, fmt.Errorf("tls=%q: %s are expected", v[0], strings.Join(tlsModes, ", "))
		}
	}
	if tables, err = url.PathUnescape(tables); err != nil {
		return s, errors.New("the tables have a bad %XX")
	}
	if tables = strings.Trim(tables, "/"); tables != "" {
		s.Filter = tableFilter(tables)
	}
	return s, nil
}

// address adds a port that is not there and checks what is.
func address(host, port string) (string, error) {
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	host = strings.Trim(host, "[]")
	if host == "" || strings.ContainsAny(host, " /@") {
		return "", errors.New("the host is missing or has a sign that no host has")
	}
	if p, err := strconv.ParseUint(port, 10, 16); err != nil || p < 1 {
		return "", fmt.Errorf("%q is no port", port)
	}
	return net.JoinHostPort(host, port), nil
}

// tableFilter makes patterns of names with stars.
func tableFilter(list string) string {
	var out []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		schema, table, ok := strings.Cut(name, ".")
		if !ok {
			table = "*"
		}
		out = append(out, pattern(schema)+`\.`+pattern(table))
	}
	return strings.Join(out, ",")
}

func pattern(name string) string { return strings.ReplaceAll(regexp.QuoteMeta(name), `\*`, `.*`) }

// ParseCanal reads host:port/destination.
func ParseCanal(text string) (addr, destination string, err error) {
	host, destination, _ := strings.Cut(strings.TrimPrefix(text, "canal://"), "/")
	if destination == "" {
		return "", "", errors.New("host:port/destination is expected")
	}
	addr, err = address(host, "11111")
	return addr, destination, err
}

// ParseOptionFile reads user, password, host and port of the [client] section
// of an option file of MySQL.
func ParseOptionFile(text string) map[string]string {
	m := map[string]string{}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';' || line[0] == '!':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case section == "client":
			k, v, _ := strings.Cut(line, "=")
			v = strings.TrimSpace(v)
			if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
				v = v[1 : len(v)-1]
			} else if i := strings.Index(v, " #"); i >= 0 {
				v = strings.TrimSpace(v[:i])
			}
			m[strings.TrimSpace(k)] = v
		}
	}
	return m
}
