package config

import (
	"errors"
	"fmt"
	"net"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/canald/canald/internal/filter"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/render"
)

// Names of the wirings, without folder.
const (
	memoryWiring  = "memory-instance.xml"
	fileWiring    = "file-instance.xml"
	defaultWiring = "default-instance.xml"
	groupWiring   = "group-instance.xml"
)

// Archive is a database in which Java servers keep structures.
type Archive struct {
	Addr, Database, User, Password string
	Interval                       time.Duration // between two snapshots
}

// Instance is the configuration of one destination.
type Instance struct {
	Destination string

	KeepCursors bool   // in files below DataDir; else in memory only
	InZooKeeper bool   // cursors are kept there, and not in files
	DataDir     string // absolute
	FlushPeriod time.Duration
	HistoryFile string // of structures, absolute; empty keeps them in memory only
	HistoryKeep time.Duration

	Address  string // host:port of the source
	User     string
	Password string
	Database string
	TLS      string // as canal.instance.master.sslMode writes it
	ServerID uint32
	// GeneratedID is true when no slaveId is configured: it may be changed.
	GeneratedID bool
	Charset     *render.Charset

	QueryTimeout time.Duration

	StartFile            string
	StartOffset          uint64
	StartTimestampMillis int64
	Archive              Archive // of structures; zero without one
	GTID                 bool
	StartGTID            string // a set that can be read; without GTID empty

	Filter, BlackFilter string
	// Fields and BlackFields list columns, as filter.ParseColumns reads them.
	Fields, BlackFields                   string
	FullDecimals, MemberNames             bool
	StableTypes, ColumnCharsets           bool
	WholeJSON                             bool
	MariaBegin                            bool
	OldFloats, PaddedBinary               bool
	ServerTypes, ServerJSON               bool
	AllStatements, StatementNames         bool
	PlainNames, StatementTables           bool
	XAOnePhase, LoadData                  bool
	Location                              *time.Location // of TIMESTAMP columns; nil is the process's zone
	SimpleDDL                             bool           // statements are classified as without Druid
	SkipQueries, SkipDCL                  bool
	SkipDDL, SkipRows                     bool
	SkipInserts, SkipUpdates, SkipDeletes bool
	SkipBrokenTables                      bool
	FilterMarkers                         bool
	Formats, Images                       []string

	TransactionSize int // entries
	Workers         int
	Slots           int // entries
	UnitBytes       int64
	ItemMode        bool
	IsolateDDL      bool

	Lazy   bool     // it is run only once a client asks for it
	Weight int      // of a server's load that the instance is, against others
	Prefer []string // host:port of the servers that are to run it, the best first

	ResetWhenPurged bool
	AbsentAfter     time.Duration

	Warnings []string // as in Config
	Unknown  []string // keys of instance.properties that nobody knows
	Inert    []string // as in Config
}

// Bounds of numbers, far above any sense.
const (
	maxHours       = 1 << 20
	maxSlots       = 1 << 24
	maxUnitBytes   = 1 << 20
	maxTransaction = 1 << 20
	maxWorkers     = 1024
	maxWeight      = 1 << 20
	maxMillis      = 24 * 3600 * 1000
	maxSeconds     = 365 * 24 * 3600
)

// Instance reads the configuration of a destination anew. The error holds all
// problems at once and wraps fs.ErrNotExist when there is no instance.properties.
func (c *Config) Instance(destination string) (Instance, error) {
	in := Instance{Destination: destination}
	own, errs, err := c.own(destination)
	if err != nil {
		return in, err
	}
	l, err := c.instanceLayers(destination, own)
	if err != nil {
		return in, err
	}
	var misspelt []string
	in.Unknown, misspelt, in.Inert = review(own)
	in.Warnings = append(in.Warnings, misspelt...)
	r := &reader{get: l.instanceValue, errs: errs}
	c.readWiring(&in, r)
	c.readLazy(&in)
	c.readSource(&in, r)
	readFilters(&in, r)
	readStore(&in, r)
	readPlace(&in, r)
	readRefused(r)
	if len(r.errs) > 0 {
		return in, errors.Join(r.errs...)
	}
	return in, nil
}

// Lazy tells whether an instance is run only once a client asks for it. It reads
// no file.
func (c *Config) Lazy(destination string) bool {
	return strings.EqualFold(c.lazyKey(destination).text, "true")
}

// lazyKey is the one of the two keys that counts.
func (c *Config) lazyKey(destination string) value {
	key := "canal.instance." + destination + ".lazy"
	p, set := c.server.find(key)
	v := value{property: p, key: key}
	if v.text = strings.TrimSpace(v.text); !set || v.text == "" {
		v, _ = c.server.deployerValue(keyLazy)
	}
	return v
}

// readLazy takes other words for no, as the deployer does.
func (c *Config) readLazy(in *Instance) {
	in.Lazy = c.Lazy(in.Destination)
	if v := c.lazyKey(in.Destination); !in.Lazy && v.text != "" && !strings.EqualFold(v.text, "false") {
		in.Warnings = append(in.Warnings, fmt.Sprintf("%s is %q; taking false", v.key, v.text))
	}
}

// readWiring maps the four wirings that Canal ships. The key belongs to the
// server: instance.properties cannot choose it.
func (c *Config) readWiring(in *Instance, r *reader) {
	p, set := c.server.find("canal.instance." + in.Destination + ".spring.xml")
	v := value{property: p, key: "canal.instance." + in.Destination + ".spring.xml"}
	if v.text = strings.TrimSpace(v.text); !set || v.text == "" {
		v, _ = c.server.deployerValue(keyGlobalXML)
		if v.file == "" {
			in.Warnings = append(in.Warnings, keyGlobalXML+" is not set; taking "+fileWiring)
		}
	}
	switch path.Base(strings.TrimPrefix(v.text, "classpath:")) {
	case memoryWiring:
		if c.ZooKeeper.Servers != "" {
			in.Warnings = append(in.Warnings, memoryWiring+" keeps no cursors: whichever server of the cluster takes the instance over begins at the end of the binlog")
		}
	case fileWiring:
		in.KeepCursors = true
	case defaultWiring:
		in.InZooKeeper = true
		c.checkOwnZooKeeper(v, r)
	case groupWiring:
		r.fail(v, "not part of this version; "+memoryWiring+", "+fileWiring+" and "+defaultWiring+" are")
	default:
		r.fail(v, "unknown wiring; there are "+strings.Join([]string{memoryWiring, fileWiring, defaultWiring, groupWiring}, ", "))
	}
	in.DataDir = c.fromBin(r.text(keyDataDir))
	if r.boolean(keyTSDB) && (in.KeepCursors || in.InZooKeeper) {
		dir := r.text(keyTSDBDir)
		if dir == "" || strings.Contains(dir, "${") { // a file from before the key, and its default
			dir = path.Join(r.text(keyDataDir), in.Destination)
		}
		in.HistoryFile = filepath.Join(c.fromBin(dir), history.FileName)
		readArchive(in, r)
	}
	in.HistoryKeep = time.Duration(r.integer(keyTSDBExpire, 0, maxHours)) * time.Hour
	in.FlushPeriod = time.Duration(r.integer(keyFlushPeriod, 1, maxMillis)) * time.Millisecond
	if period := time.Duration(r.integer(keyZKFlush, 1, maxMillis)) * time.Millisecond; in.InZooKeeper {
		in.FlushPeriod = period
	}
	in.AbsentAfter = time.Duration(r.integer(keyAbsent, 1, maxSeconds)) * time.Second
}

// readArchive reads where Java servers keep structures with mysql-tsdb.xml.
func readArchive(in *Instance, r *reader) {
	url := r.value(keyTSDBURL)
	rest, isMySQL := strings.CutPrefix(url.text, "jdbc:mysql://")
	url.secret = url.secret || strings.Contains(strings.ToLower(url.text), "password")
	wiring := r.value(keyTSDBXML)
	switch path.Base(wiring.text) {
	case "mysql-tsdb.xml":
	case "h2-tsdb.xml", ".": // the latter is an empty text
		if isMySQL {
			in.Warnings = append(in.Warnings, keyTSDBURL+" names a MySQL: it has no effect without "+keyTSDBXML+" = classpath:spring/tsdb/mysql-tsdb.xml")
		}
		return
	default:
		r.fail(wiring, "unknown wiring; there are h2-tsdb.xml and mysql-tsdb.xml")
		return
	}
	addr, params, _ := strings.Cut(rest, "?")
	addr, database, _ := strings.Cut(addr, "/")
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		addr = net.JoinHostPort(strings.Trim(addr, "[]"), "3306")
	}
	if host, _, err := net.SplitHostPort(addr); !isMySQL || err != nil || host == "" || database == "" || strings.ContainsAny(host, ",()") {
		r.fail(url, "jdbc:mysql://host:port/database is expected with mysql-tsdb.xml")
		return
	}
	if params != "" {
		in.Warnings = append(in.Warnings, keyTSDBURL+": what stands behind the question mark has no effect")
	}
	in.Archive = Archive{
		Addr: addr, Database: database, User: r.text(keyTSDBUser), Password: r.text(keyTSDBPassword),
		Interval: time.Duration(r.integer(keyTSDBInterval, 0, maxHours)) * time.Hour,
	}
}

func (c *Config) readSource(in *Instance, r *reader) {
	addr := r.value(keyAddress)
	var problem string
	if in.Address, problem = hostPort(addr.text); problem != "" {
		r.fail(addr, problem)
	}
	in.User, in.Password, in.Database = r.text(keyDBUser), r.password(), r.text(keyDatabase)
	in.TLS = r.oneOf(keySSLMode, "DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
	if id := r.integer(keySlaveID, -1<<31, 1<<32-1); id > 0 {
		in.ServerID = uint32(id)
	} else {
		in.ServerID, in.GeneratedID = serverID(in.Destination, c.opts.HostIPv4), true
	}
	charset := r.value(keyCharset)
	var err error
	if in.Charset, err = render.LookupCharset(charset.text); err != nil {
		r.fail(charset, "unknown character set")
	}
	in.QueryTimeout = time.Duration(r.integer(keySoTimeout, 0, maxSeconds)) * time.Second
	in.StartFile = r.text(keyJournal)
	in.StartOffset = uint64(r.integer(keyPosition, 0, 1<<63-1))
	in.StartTimestampMillis = r.integer(keyTimestamp, 0, 1<<63-1)
	in.Formats = r.listOf(keyFormat, "ROW", "STATEMENT", "MIXED")
	in.Images = r.listOf(keyImage, "FULL", "MINIMAL", "NOBLOB")
	in.ResetWhenPurged = r.boolean(keyResetPos)
}

// hostPort splits at the last colon, as Canal does; brackets around the host
// may be missing. The second result says what is wrong.
func hostPort(text string) (addr, problem string) {
	if text == "" {
		return "", "missing; host:port of the source is needed"
	}
	bare := strings.NewReplacer("[", "", "]", "").Replace(text)
	colon := strings.LastIndexByte(bare, ':')
	if colon < 0 {
		return "", "missing port"
	}
	host, port := strings.TrimSpace(bare[:colon]), strings.TrimSpace(bare[colon+1:])
	if host == "" {
		return "", "missing host"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "the port must be a number from 1 to 65535"
	}
	return net.JoinHostPort(host, port), ""
}

func readFilters(in *Instance, r *reader) {
	list := func(key string) string {
		v := r.value(key)
		if _, err := filter.New(v.text); err != nil {
			what := "bad pattern"
			if !v.secret { // the error shows the pattern
				what = err.Error()
			}
			r.fail(v, what)
		}
		return v.text
	}
	in.Filter, in.BlackFilter = list(keyRegex), list(keyBlackRegex)
	in.Fields, in.BlackFields = r.text(keyField), r.text(keyBlackField)
	in.FullDecimals, in.MemberNames, in.StableTypes = r.boolean(keyFullDecimal), r.boolean(keyMemberNames), r.boolean(keyStableType)
	in.ColumnCharsets, in.MariaBegin = r.boolean(keyColumnCharset), r.boolean(keyMariaBegin)
	in.WholeJSON, in.ServerJSON = r.boolean(keyWholeJSON), r.boolean(keyServerJSON)
	in.OldFloats, in.PaddedBinary, in.ServerTypes = r.boolean(keyOldFloats), r.boolean(keyPaddedBinary), r.boolean(keyServerTypes)
	in.AllStatements, in.StatementNames = r.boolean(keyAllStatements), r.boolean(keyStmtNames)
	in.PlainNames, in.StatementTables = r.boolean(keyPlainNames), r.boolean(keyStmtTables)
	in.XAOnePhase, in.LoadData = r.boolean(keyXAOnePhase), r.boolean(keyLoadData)
	if zone := r.value(keyTimestampZone); zone.text != "" {
		var err error
		if in.Location, err = time.LoadLocation(zone.text); err != nil {
			r.fail(zone, "unknown time zone")
		}
	}
	in.GTID = r.boolean(keyGTID)
	if set := r.value(keyStartGTID); in.GTID && set.text != "" {
		if _, err := position.ParseGTIDSet(set.text); err != nil {
			r.fail(set, err.Error())
		}
		in.StartGTID = set.text
	}
	in.SimpleDDL = !r.boolean(keyDruidDDL)
	in.SkipQueries, in.SkipDCL, in.SkipDDL = r.boolean(keyQueryDML), r.boolean(keyQueryDCL), r.boolean(keyQueryDDL)
	in.SkipBrokenTables, in.SkipRows = r.boolean(keyTableError), r.boolean(keyRows)
	in.SkipInserts, in.SkipUpdates, in.SkipDeletes = r.boolean(keyInsert), r.boolean(keyUpdate), r.boolean(keyDelete)
	in.FilterMarkers = r.boolean(keyMarkers)
}

func readStore(in *Instance, r *reader) {
	in.Slots = int(r.powerOfTwo(keyBufferSize, "bufferSize must be a power of 2", maxSlots))
	in.UnitBytes = r.integer(keyMemunit, 1, maxUnitBytes)
	in.ItemMode = r.oneOf(keyBatchMode, "MEMSIZE", "ITEMSIZE") == "ITEMSIZE"
	in.IsolateDDL = r.boolean(keyIsolation)
	in.TransactionSize = int(r.powerOfTwo(keyTransaction, "must be a power of 2", maxTransaction))
	in.Workers = int(r.integer(keyThreads, 0, maxWorkers))
	if in.Workers == 0 {
		in.Workers = max(1, runtime.NumCPU()*60/100)
	}
	if !r.boolean(keyParallel) {
		in.Workers = 1
	}
}

// readPlace reads where in a cluster the instance should run.
func readPlace(in *Instance, r *reader) {
	in.Weight = max(1, int(r.integer(keyWeight, 1, maxWeight)))
	v := r.value(keyPrefer)
	for server := range strings.SplitSeq(v.text, ",") {
		if server = strings.TrimSpace(server); server == "" {
			continue
		}
		if host, port, err := net.SplitHostPort(server); err != nil || host == "" || port == "" {
			r.fail(v, "not host:port, as canald cluster status shows servers")
			continue
		}
		in.Prefer = append(in.Prefer, server)
	}
}

// readRefused names features whose absence would lose or reveal data silently.
func readRefused(r *reader) {
	r.refuse(keyMultiStream, "PolarDB-X streams are")
	r.refuse(keyRDS, "binlogs from OSS are")
	r.refuse(keyTrustStore, "key stores are")
	r.refuse(keyClientKeyStore, "key stores are")
}

// serverID makes a server id as Java's MysqlEventParser does: seven bits of the
// name's hash, then the last three bytes of the host's address.
func serverID(destination string, ip net.IP) uint32 {
	if ip = ip.To4(); ip == nil {
		ip = HostIPv4()
	}
	return uint32(javaHash(destination)&0x7f)<<24 | uint32(ip[1])<<16 | uint32(ip[2])<<8 | uint32(ip[3])
}

// javaHash is String.hashCode.
func javaHash(s string) int32 {
	var h int32
	for _, u := range utf16.Encode([]rune(s)) {
		h = 31*h + int32(u)
	}
	return h
}

// HostIPv4 is the first address of this host that others could reach, else loopback.
func HostIPv4() net.IP {
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast() {
				continue
			}
			if ip := n.IP.To4(); ip != nil {
				return ip
			}
		}
	}
	return net.IPv4(127, 0, 0, 1).To4()
}

// String shows an instance without its password.
func (in Instance) String() string {
	return fmt.Sprintf("%s from %s as %s", in.Destination, in.Address, in.User)
}
