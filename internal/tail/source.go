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
	"slices"
	"strconv"
	"strings"
)

// Source is what a URL of a source says.
type Source struct {
	Host        string // may be empty, as may be Port and User: Complete fills them
	Port        string
	User        string
	Password    string
	HasPassword bool   // even an empty one
	TLS         string // as canal.instance.master.sslMode writes it
	Filter      string // patterns of schema.table, as canal.instance.filter.regex has them

	// schemas are those that the tables name, with their stars; nil for all.
	schemas []string
}

const (
	scheme      = "mysql://"
	defaultPort = "3306"
	// allTables is the filter of a URL without tables.
	allTables = `.*\..*`
)

var tlsModes = []string{"DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"}

var errEscape = errors.New("the signs @ / ? # of a password are written %40 %2F %3F %23 in a URL, and an @ elsewhere %40")

// ParseSource reads mysql://user:password@host:port/schema.table,schema?tls=MODE.
// A * in a name stands for any text. No error shows the password, or what could
// be a part of it.
func ParseSource(text string) (Source, error) {
	s := Source{TLS: "PREFERRED", Filter: allTables}
	rest, ok := strings.CutPrefix(text, scheme)
	if !ok {
		return s, errors.New("mysql://user@host:port[/schema.table…] is expected")
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
		// A password with such a sign as it is: what follows would be taken for
		// a port, a table or an option, and be shown in an error.
		if strings.Contains(rest[i:], "@") {
			return s, errEscape
		}
	}
	path, query, _ := strings.Cut(rest[len(authority):], "?")
	if err := s.parseAuthority(authority); err != nil {
		return s, err
	}
	if err := s.parseOptions(query); err != nil {
		return s, err
	}
	tables, err := url.PathUnescape(path)
	if err != nil {
		return s, errors.New("the tables have a bad %XX")
	}
	if tables = strings.Trim(tables, "/"); tables != "" {
		s.setTables(tables)
	}
	return s, nil
}

func (s *Source) parseAuthority(text string) error {
	if at := strings.LastIndexByte(text, '@'); at >= 0 { // a password may hold one
		user, password, has := strings.Cut(text[:at], ":")
		var err, err2 error
		s.User, err = url.PathUnescape(user)
		s.Password, err2 = url.PathUnescape(password)
		if err != nil || err2 != nil {
			return errors.New("user or password has a bad %XX")
		}
		s.HasPassword, text = has, text[at+1:]
	}
	if text == "" {
		return nil
	}
	var err error
	s.Host, s.Port, err = splitAddress(text)
	return err
}

func (s *Source) parseOptions(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("what stands behind the ? cannot be read")
	}
	for k, v := range values {
		if k != "tls" {
			return fmt.Errorf("%q is no option; tls is", k)
		}
		i := slices.IndexFunc(tlsModes, func(m string) bool { return strings.EqualFold(m, v[0]) })
		if i < 0 {
			return fmt.Errorf("tls=%q: %s are expected", v[0], strings.Join(tlsModes, ", "))
		}
		s.TLS = tlsModes[i]
	}
	return nil
}

// setTables makes patterns of names with stars.
func (s *Source) setTables(list string) {
	var patterns []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		schema, table, ok := strings.Cut(name, ".")
		if !ok {
			table = "*"
		}
		patterns = append(patterns, pattern(schema)+`\.`+pattern(table))
		if !slices.Contains(s.schemas, schema) {
			s.schemas = append(s.schemas, schema)
		}
	}
	if len(patterns) > 0 {
		s.Filter = strings.Join(patterns, ",")
	}
}

func pattern(name string) string { return strings.ReplaceAll(regexp.QuoteMeta(name), `\*`, `.*`) }

// starred tells whether the tables do not name each schema in full.
func (s *Source) starred() bool {
	return s.schemas == nil || slices.ContainsFunc(s.schemas, func(name string) bool { return strings.Contains(name, "*") })
}

// statements tells of a statement, with the default schema it was run in,
// whether it may be about the tables. The engine's filter is for rows: to it
// statements have no names. Nil shows all.
func (s *Source) statements() func(schema, sql string) bool {
	if s.schemas == nil {
		return nil
	}
	names := make([]string, len(s.schemas))
	words := make([]string, len(s.schemas))
	for i, name := range s.schemas {
		names[i] = pattern(name)
		words[i] = strings.ReplaceAll(regexp.QuoteMeta(name), `\*`, `[\pL\pN_$]*`)
	}
	here, err := regexp.Compile("(?i)^(?:" + strings.Join(names, "|") + ")$")
	if err != nil {
		return nil // too large: everything is shown
	}
	named, err := regexp.Compile(`(?i)(?:^|[^\pL\pN_$])(?:` + strings.Join(words, "|") + `)(?:$|[^\pL\pN_$])`)
	if err != nil {
		return nil
	}
	return func(schema, sql string) bool { return here.MatchString(schema) || named.MatchString(sql) }
}

// Complete fills what the URL leaves out from the [client] section of an option
// file, and the port with MySQL's.
func (s *Source) Complete(options map[string]string) error {
	if s.Host == "" {
		s.Host = options["host"]
	}
	if s.Port == "" {
		s.Port = options["port"]
	}
	if s.Port == "" {
		s.Port = defaultPort
	}
	if s.User == "" {
		s.User = options["user"]
	}
	if password, ok := options["password"]; ok && !s.HasPassword {
		s.Password, s.HasPassword = password, true
	}
	return checkAddress(s.Host, s.Port)
}

// Addr is host:port.
func (s *Source) Addr() string { return net.JoinHostPort(s.Host, s.Port) }

// splitAddress reads host, host:port, [IPv6] and [IPv6]:port.
func splitAddress(text string) (host, port string, err error) {
	host = text
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if port == "" {
		return host, port, checkAddress(host, "1")
	}
	return host, port, checkAddress(host, port)
}

func checkAddress(host, port string) error {
	if host == "" || strings.ContainsAny(host, " /@[]\"'") {
		return errors.New("the host is missing or has a sign that no host has")
	}
	if strings.Contains(host, ":") && net.ParseIP(strings.SplitN(host, "%", 2)[0]) == nil {
		return errors.New("the host has a colon and is no IPv6 address")
	}
	if p, err := strconv.ParseUint(port, 10, 16); err != nil || p < 1 {
		return errors.New("the port is no number from 1 to 65535")
	}
	return nil
}

// CanalAddress is where a destination is served: by a server, or by those of the
// cluster that a ZooKeeper knows.
type CanalAddress struct {
	Addr, ZooKeeper string // one of both; ZooKeeper as in canal.zkServers
	Destination     string
}

// ParseCanal reads host:port/destination and zk://host:port,…[/chroot]/destination.
func ParseCanal(text string) (a CanalAddress, err error) {
	const canalPort = "11111"
	if rest, ok := strings.CutPrefix(text, "zk://"); ok {
		i := strings.LastIndexByte(rest, '/')
		if i <= 0 || i == len(rest)-1 {
			return a, errors.New("zk://host:port,…/destination is expected")
		}
		return CanalAddress{ZooKeeper: rest[:i], Destination: rest[i+1:]}, nil
	}
	address, destination, _ := strings.Cut(strings.TrimPrefix(text, "canal://"), "/")
	if destination == "" {
		return a, errors.New("host:port/destination is expected")
	}
	host, port, err := splitAddress(address)
	if port == "" {
		port = canalPort
	}
	return CanalAddress{Addr: net.JoinHostPort(host, port), Destination: destination}, err
}

// ParseOptionFile reads user, password, host and port of the [client] section
// of an option file of MySQL. Files that it includes are not read.
func ParseOptionFile(text string) map[string]string {
	m := map[string]string{}
	client := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';' || line[0] == '!':
		case line[0] == '[':
			client = strings.TrimSpace(strings.Trim(line, "[]")) == "client"
		case client:
			k, v, has := strings.Cut(line, "=")
			switch k = strings.TrimSpace(k); k {
			case "user", "host", "port":
				if v = optionValue(v); v != "" {
					m[k] = v
				}
			case "password":
				if has { // alone it asks for one
					m[k] = optionValue(v)
				}
			}
		}
	}
	return m
}

var optionEscapes = strings.NewReplacer(`\\`, `\`, `\s`, " ", `\t`, "\t", `\n`, "\n", `\r`, "\r", `\b`, "\b", `\"`, `"`, `\'`, `'`)

// optionValue reads a value with its quotes, escapes and the remark behind it.
func optionValue(v string) string {
	v = strings.TrimSpace(v)
	if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') {
		if end := strings.LastIndexByte(v, v[0]); end > 0 {
			return optionEscapes.Replace(v[1:end])
		}
	}
	if i := strings.Index(v, " #"); i >= 0 {
		v = strings.TrimSpace(v[:i])
	}
	return optionEscapes.Replace(v)
}
