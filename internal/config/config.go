// Package config turns Canal's canal.properties and instance.properties, the
// command line and the environment into typed values. Only this package knows
// names of keys.
//
// Canal reads its settings in two ways, and both are kept. Keys of the server:
// command line, environment (a variable of exactly the key's name), main file,
// default; the first that is set wins, even when it is empty. Keys of an
// instance: command line, environment, instance.properties, canal.properties,
// default; blank values do not win, and ${key:default} is resolved.
package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options is where the configuration comes from.
type Options struct {
	Home     string            // folder with bin, conf and logs
	ConfFile string            // main file; empty is conf/canal.properties, or what -Dcanal.conf names
	Defines  map[string]string // -Dkey=value
	Environ  []string          // as os.Environ returns it
	HostIPv4 net.IP            // for server ids that are made up; nil is this host's address
}

// Config is the configuration of a server.
type Config struct {
	Listen       string   // host:port for clients; empty opens no port
	User         string   // that clients must name
	PasswordHash string   // 40 hex digits; empty asks for no password
	Destinations []string // names, valid as folder names, each once
	RegisterIP   string   // that clients are told to use; empty is the address that they connect to

	ZooKeeper ZooKeeper

	ScanEvery time.Duration // pause between scans of the folders; 0 scans never

	Metrics    Metrics
	ReadyLimit time.Duration // see canald.ready.limit

	LogJSON  bool
	LogLevel string // debug, info, warn or error

	Warnings []string // phrases about settings that were bent into shape or look wrong
	Unknown  []string // keys of the main file that nobody knows
	Inert    []string // phrases about keys that have no effect although they are set

	home    string
	confDir string
	main    map[string]property
	environ map[string]string
	opts    Options
	server  *layers
}

// Metrics is the port for metrics and health.
type Metrics struct {
	Addr              string // host:port; empty opens none
	User, Password    string // basic authentication; an empty user asks for none
	CertFile, KeyFile string // PEM, absolute; empty speaks plain HTTP
}

// Load reads and checks the main file. The error holds all problems at once,
// one a line; none of them shows a secret.
func Load(opts Options) (*Config, error) {
	home, err := filepath.Abs(opts.Home)
	if err != nil {
		return nil, fmt.Errorf("home folder: %w", err)
	}
	c := &Config{home: home, opts: opts, environ: environment(opts.Environ)}
	file := c.mainFile()
	main, errs, err := c.read(file)
	if err != nil {
		return nil, err
	}
	c.main = main
	if c.server, err = deployerLayers(opts.Defines, c.environ, main); err != nil {
		return nil, err
	}
	r := &reader{get: c.server.deployerValue, errs: errs}
	c.readServer(r)
	var misspelt []string
	c.Unknown, misspelt, c.Inert = review(main)
	c.Warnings = append(c.Warnings, misspelt...)
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return c, nil
}

// mainFile is the main file's path. Java's instances read conf/canal.properties
// whatever the server was told to read; here all read the same file.
func (c *Config) mainFile() string {
	if c.opts.ConfFile != "" {
		return c.opts.ConfFile
	}
	if f := strings.TrimSpace(c.opts.Defines[keyConf]); f != "" {
		if name, ok := strings.CutPrefix(f, "classpath:"); ok {
			return filepath.Join(c.home, "conf", name)
		}
		return c.fromBin(f)
	}
	return filepath.Join(c.home, "conf", "canal.properties")
}

// fromBin resolves a path as the scripts' working folder would.
func (c *Config) fromBin(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.home, "bin", path)
}

// read scans a file. The second result is what is malformed in it, the third
// that it cannot be read at all.
func (c *Config) read(path string) (map[string]property, []error, error) {
	shown := path
	if rel, err := filepath.Rel(c.home, path); err == nil && filepath.IsLocal(rel) {
		shown = rel
	}
	if info, err := os.Stat(path); err == nil && info.Size() > maxFileBytes {
		return nil, nil, fmt.Errorf("%s: %d bytes, more than %d", shown, info.Size(), maxFileBytes)
	}
	data, err := readFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("configuration file: %w", err)
	}
	m, errs := scan(filepath.ToSlash(shown), data)
	return m, errs, nil
}

func environment(list []string) map[string]string {
	m := make(map[string]string, len(list))
	for _, e := range list {
		if k, v, ok := strings.Cut(e, "="); ok && k != "" {
			m[k] = v
		}
	}
	return m
}

func (c *Config) readServer(r *reader) {
	c.readListen(r)
	c.readMetrics(r)
	c.LogJSON = r.oneOf(keyLogFormat, "text", "json") == "json"
	c.LogLevel = r.oneOf(keyLogLevel, "info", "debug", "warn", "error")
	mode := r.value(keyServerMode)
	if mode.file == "" {
		c.Warnings = append(c.Warnings, keyServerMode+" is not set; taking tcp")
	}
	if !strings.EqualFold(mode.text, "tcp") {
		switch strings.ToLower(mode.text) {
		case "kafka", "rocketmq", "rabbitmq", "pulsarmq":
			r.fail(mode, "message queues are not part of this version; tcp is")
		default:
			r.fail(mode, "unknown; the modes are tcp, kafka, rocketMQ, rabbitMQ, pulsarMQ")
		}
	}
	switch mode := r.value(keyGlobalMode); strings.ToLower(mode.text) {
	case "spring":
	case "manager":
		r.fail(mode, "canal-admin is not part of this version; spring is")
	default:
		r.fail(mode, "unknown; the modes are spring, manager")
	}
	if v := r.value(keyAdminManager); v.text != "" {
		r.fail(v, "canal-admin is not part of this version; leave it empty")
	}
	c.readZooKeeper(r)
	r.integer(keyAdminPort, 0, 65535)
	c.readScan(r)
	c.Destinations = c.destinations(r)
}

// readScan reads what the folder scan needs. Canal takes words that are no
// boolean for off, silently.
func (c *Config) readScan(r *reader) {
	if v := r.value(keyLazy); v.file == "" {
		c.Warnings = append(c.Warnings, keyLazy+" is not set; taking false")
	}
	every := time.Duration(r.integer(keyScanInterval, 1, maxSeconds)) * time.Second
	scan := r.value(keyScan)
	switch strings.ToLower(scan.text) {
	case "true", "on", "yes":
		c.ScanEvery = every
	case "false", "off", "no", "":
	default:
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s is %q; taking false", keyScan, scan.text))
	}
	c.confDir = c.fromBin(r.text(keyConfDir))
}

func (c *Config) readMetrics(r *reader) {
	if addr, port := r.listener(keyMetricsIP, keyMetricsPort, -1<<31); port > 0 {
		c.Metrics.Addr = addr
	}
	c.Metrics.User = r.text(keyMetricsUser)
	password := r.value(keyMetricsPassword)
	c.Metrics.Password = password.text
	if (c.Metrics.User == "") != (password.text == "") {
		r.fail(password, "needed together with "+keyMetricsUser)
	}
	cert, key := r.value(keyMetricsCert), r.value(keyMetricsKey)
	switch {
	case (cert.text == "") != (key.text == ""):
		r.fail(cert, "needed together with "+keyMetricsKey)
	case cert.text != "":
		c.Metrics.CertFile, c.Metrics.KeyFile = c.fromBin(cert.text), c.fromBin(key.text)
	}
	c.ReadyLimit = time.Duration(r.integer(keyReadyLimit, 0, maxSeconds)) * time.Second
}

func (c *Config) readListen(r *reader) {
	addr, _ := r.listener(keyIP, keyPort, 0)
	c.RegisterIP = r.text(keyRegisterIP)
	switch off := r.value(keyWithoutNetty); off.text {
	case "false":
		c.Listen = addr
	case "": // Java closes the port then, which nobody ever meant
		c.Listen = addr
		c.Warnings = append(c.Warnings, keyWithoutNetty+" is empty; taking false")
	case "true":
	default:
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s is %q: anything but false opens no client port", keyWithoutNetty, off.text))
	}
	c.User = r.value(keyUser).text
	hash := r.value(keyPasswd)
	c.PasswordHash = hash.text
	if _, err := hex.DecodeString(hash.text); hash.text != "" && (err != nil || len(hash.text) != 40) {
		r.fail(hash, "40 hex digits are needed: SHA1(SHA1(password)), which is MySQL's PASSWORD() without the star")
	}
	if c.User != "" && hash.text == "" {
		r.fail(hash, fmt.Sprintf("%s = %s , but %s is empty , pls check: a password is needed with it", keyUser, c.User, keyPasswd))
	}
}

// Bounds of the destinations.
const (
	maxDestinations     = 10_000
	maxDestinationBytes = 200
)

var destinationRange = regexp.MustCompile(`^([^{}]*)\{(\d{1,9})-(\d{1,9})\}`)

func (c *Config) destinations(r *reader) []string {
	v := r.value(keyDestinations)
	var names []string
	if expr := r.value(keyDestExpr); expr.text != "" {
		v = expr
		m := destinationRange.FindStringSubmatch(expr.text)
		if m == nil {
			r.fail(expr, "no range; prefix{1-3} is expected")
			return nil
		}
		from, _ := strconv.Atoi(m[2])
		to, _ := strconv.Atoi(m[3])
		if to-from >= maxDestinations {
			r.fail(expr, fmt.Sprintf("more than %d destinations", maxDestinations))
			return nil
		}
		for n := from; n <= to; n++ {
			names = append(names, m[1]+strconv.Itoa(n))
		}
	} else {
		names = strings.Split(v.text, ",")
	}
	var out []string
	for _, name := range names {
		name = strings.TrimSpace(name)
		switch {
		case name == "":
		case slices.Contains(out, name):
			c.Warnings = append(c.Warnings, fmt.Sprintf("destination %q is listed twice", name))
		case !validDestination(name):
			r.fail(v, fmt.Sprintf("%q cannot be a destination: its name is also a folder's", name))
		case len(out) == maxDestinations:
			r.fail(v, fmt.Sprintf("more than %d destinations", maxDestinations))
			return nil
		default:
			out = append(out, name)
		}
	}
	if len(out) == 0 && len(r.errs) == 0 {
		c.Warnings = append(c.Warnings, keyDestinations+" names no destination")
	}
	return out
}

// validDestination refuses names that would leave their folder or that no
// operator could type. spring is the folder of Canal's wirings.
func validDestination(name string) bool {
	return len(name) <= maxDestinationBytes && name != "." && name != ".." && !strings.EqualFold(name, "spring") &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '/' || r == '\\' })
}

// ownPath is the file of a destination. Canal loads it from conf whatever
// canal.conf.dir says, and only scans that folder; a file that is there alone
// is taken all the same.
func (c *Config) ownPath(destination string) string {
	path := filepath.Join(c.home, "conf", destination, ownName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		other := filepath.Join(c.confDir, destination, ownName)
		if _, err := os.Stat(other); err == nil {
			return other
		}
	}
	return path
}

// own reads the file of a destination. A missing one wraps fs.ErrNotExist.
func (c *Config) own(destination string) (map[string]property, []error, error) {
	if !validDestination(destination) {
		return nil, nil, fmt.Errorf("%q cannot be a destination", destination)
	}
	m, errs, err := c.read(c.ownPath(destination))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("it has no %s yet: %w", ownName, err)
	}
	return m, errs, err
}

func (c *Config) instanceLayers(destination string, own map[string]property) (*layers, error) {
	defines := maps.Clone(c.opts.Defines)
	if defines == nil {
		defines = map[string]string{}
	}
	defines[keyDestination] = destination
	return instanceLayers(defines, c.environ, c.main, own)
}
