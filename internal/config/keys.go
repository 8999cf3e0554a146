package config

import (
	"regexp"
	"slices"
	"strings"
)

// Kind is how the text of a key is read.
type Kind string

// The kinds.
const (
	Text    Kind = "text"
	Bool    Kind = "bool"
	Integer Kind = "integer"
	Address Kind = "host:port"
	Enum    Kind = "enum"
	List    Kind = "list"
	Folder  Kind = "folder"
)

// Scope says who reads a key.
type Scope string

// The scopes. Keys of the server stand in the main file; keys of an instance in
// either file, its own being the stronger. Ignored keys are known from Canal
// and have no effect here.
const (
	ServerScope   Scope = "server"
	InstanceScope Scope = "instance"
	Ignored       Scope = "ignored"
)

// Key is one row of the table of keys.
type Key struct {
	Name    string
	Scope   Scope
	Kind    Kind
	Default string // when absent or blank
	Unit    string
	Doc     string
}

// Keys returns the table of all keys that have a name of their own.
func Keys() []Key { return slices.Clone(keys) }

// Names of the keys that are read here.
const (
	keyIP           = "canal.ip"
	keyPort         = "canal.port"
	keyUser         = "canal.user"
	keyPasswd       = "canal.passwd"
	keyServerMode   = "canal.serverMode"
	keyWithoutNetty = "canal.withoutNetty"
	keyDestinations = "canal.destinations"
	keyDestExpr     = "canal.destinations.expr"
	keyGlobalMode   = "canal.instance.global.mode"
	keyGlobalXML    = "canal.instance.global.spring.xml"
	keyScanInterval = "canal.auto.scan.interval"
	keyAdminManager = "canal.admin.manager"
	keyZKServers    = "canal.zkServers"
	keyConf         = "canal.conf"

	keyDestination    = "canal.instance.destination"
	keySlaveID        = "canal.instance.mysql.slaveId"
	keyAddress        = "canal.instance.master.address"
	keyJournal        = "canal.instance.master.journal.name"
	keyPosition       = "canal.instance.master.position"
	keyTimestamp      = "canal.instance.master.timestamp"
	keyDBUser         = "canal.instance.dbUsername"
	keyDBPassword     = "canal.instance.dbPassword"
	keyDatabase       = "canal.instance.defaultDatabaseName"
	keyCharset        = "canal.instance.connectionCharset"
	keySSLMode        = "canal.instance.master.sslMode"
	keySoTimeout      = "canal.instance.network.soTimeout"
	keyResetPos       = "canal.auto.reset.latest.pos.mode"
	keyRegex          = "canal.instance.filter.regex"
	keyBlackRegex     = "canal.instance.filter.black.regex"
	keyField          = "canal.instance.filter.field"
	keyBlackField     = "canal.instance.filter.black.field"
	keyQueryDML       = "canal.instance.filter.query.dml"
	keyQueryDDL       = "canal.instance.filter.query.ddl"
	keyTableError     = "canal.instance.filter.table.error"
	keyRows           = "canal.instance.filter.rows"
	keyInsert         = "canal.instance.filter.dml.insert"
	keyUpdate         = "canal.instance.filter.dml.update"
	keyDelete         = "canal.instance.filter.dml.delete"
	keyMarkers        = "canal.instance.filter.transaction.entry"
	keyFormat         = "canal.instance.binlog.format"
	keyImage          = "canal.instance.binlog.image"
	keyIsolation      = "canal.instance.get.ddl.isolation"
	keyTransaction    = "canal.instance.transaction.size"
	keyParallel       = "canal.instance.parser.parallel"
	keyThreads        = "canal.instance.parser.parallelThreadSize"
	keyBufferSize     = "canal.instance.memory.buffer.size"
	keyMemunit        = "canal.instance.memory.buffer.memunit"
	keyBatchMode      = "canal.instance.memory.batch.mode"
	keyDataDir        = "canal.file.data.dir"
	keyFlushPeriod    = "canal.file.flush.period"
	keyAbsent         = "canal.instance.client.absent.timeout"
	keyGTID           = "canal.instance.gtidon"
	keyDruid          = "canal.instance.enableDruid"
	keyMultiStream    = "canal.instance.multi.stream.on"
	keyRDS            = "canal.instance.rds.instanceId"
	keyTrustStore     = "canal.instance.master.trustCertificateKeyStoreUrl"
	keyClientKeyStore = "canal.instance.master.clientCertificateKeyStoreUrl"
)

var keys = []Key{
	{keyIP, ServerScope, Text, "", "", "address to listen on; empty listens on all"},
	{keyPort, ServerScope, Integer, "11111", "", "port for clients"},
	{keyUser, ServerScope, Text, "", "", "user that clients must name; empty accepts any"},
	{keyPasswd, ServerScope, Text, "", "", "hex of SHA1(SHA1(password)) of clients, 40 digits; empty asks for none"},
	{keyServerMode, ServerScope, Enum, "tcp", "", "how data is delivered: tcp"},
	{keyWithoutNetty, ServerScope, Bool, "false", "", "open no client port"},
	{keyDestinations, ServerScope, List, "", "", "names of the destinations"},
	{keyDestExpr, ServerScope, Text, "", "", "prefix{n-m}: replaces the destinations by prefixn to prefixm"},
	{keyGlobalMode, ServerScope, Enum, "spring", "", "where settings of instances come from: spring, which means files"},
	{keyGlobalXML, ServerScope, Enum, fileWiring, "", "what an instance keeps: memory-instance.xml nothing, file-instance.xml its cursors"},
	{keyScanInterval, ServerScope, Integer, "5", "s", "period of the folder scan"},
	{keyAdminManager, ServerScope, Address, "", "", "canal-admin to take the configuration from"},
	{keyZKServers, ServerScope, List, "", "", "ZooKeeper of a cluster"},

	{keyDestination, InstanceScope, Text, "", "", "name of the destination; set by the server, to be used in values"},
	{keySlaveID, InstanceScope, Integer, "0", "", "server id towards the source; 0 makes one from the name and the host's address"},
	{keyAddress, InstanceScope, Address, "", "", "the source"},
	{keyJournal, InstanceScope, Text, "", "", "binlog file to start at when no cursor is stored"},
	{keyPosition, InstanceScope, Integer, "", "", "offset in that file"},
	{keyTimestamp, InstanceScope, Integer, "", "ms", "time to start at, in that file"},
	{keyDBUser, InstanceScope, Text, "retl", "", "user at the source"},
	{keyDBPassword, InstanceScope, Text, "retl", "", "its password"},
	{keyDatabase, InstanceScope, Text, "", "", "default database of the session"},
	{keyCharset, InstanceScope, Text, "UTF-8", "", "character set of names and texts, by its Java name"},
	{keySSLMode, InstanceScope, Enum, "DISABLED", "", "DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY"},
	{keySoTimeout, InstanceScope, Integer, "30", "s", "longest wait for the answer to a statement"},
	{keyResetPos, InstanceScope, Bool, "false", "", "go on at the end of the binlog when a cursor's place is gone from the source"},
	{keyRegex, InstanceScope, List, `.*\..*`, "", "tables wanted, as patterns of schema.table"},
	{keyBlackRegex, InstanceScope, List, "", "", "tables not wanted"},
	{keyField, InstanceScope, List, "", "", "columns wanted"},
	{keyBlackField, InstanceScope, List, "", "", "columns not wanted"},
	{keyQueryDML, InstanceScope, Bool, "false", "", "leave out statements that accompany row changes"},
	{keyQueryDDL, InstanceScope, Bool, "false", "", "leave out DDL"},
	{keyTableError, InstanceScope, Bool, "false", "", "leave out tables whose structure cannot be found"},
	{keyRows, InstanceScope, Bool, "false", "", "leave out all rows"},
	{keyInsert, InstanceScope, Bool, "false", "", "leave out inserted rows"},
	{keyUpdate, InstanceScope, Bool, "false", "", "leave out updated rows"},
	{keyDelete, InstanceScope, Bool, "false", "", "leave out deleted rows"},
	{keyMarkers, InstanceScope, Bool, "false", "", "leave out begin and end of transactions"},
	{keyFormat, InstanceScope, List, "", "", "binlog formats accepted: ROW, STATEMENT, MIXED; empty accepts all"},
	{keyImage, InstanceScope, List, "", "", "row images accepted: FULL, MINIMAL, NOBLOB; empty accepts all"},
	{keyIsolation, InstanceScope, Bool, "false", "", "hand out DDL in batches of its own"},
	{keyTransaction, InstanceScope, Integer, "1024", "entries", "most entries that become visible at once; a power of two"},
	{keyParallel, InstanceScope, Bool, "true", "", "use several workers"},
	{keyThreads, InstanceScope, Integer, "", "", "number of workers; empty takes 60 % of the CPUs"},
	{keyBufferSize, InstanceScope, Integer, "16384", "entries", "size of the store; a power of two"},
	{keyMemunit, InstanceScope, Integer, "1024", "bytes", "the store holds size × unit bytes"},
	{keyBatchMode, InstanceScope, Enum, "MEMSIZE", "", "what a batch's size counts: MEMSIZE units of memory, ITEMSIZE entries"},
	{keyDataDir, InstanceScope, Folder, "../conf", "", "folder of cursors, one folder per destination in it; relative to bin"},
	{keyFlushPeriod, InstanceScope, Integer, "1000", "ms", "how often cursors are written"},
	{keyAbsent, InstanceScope, Integer, "60", "s", "after this time a client that is away no longer holds the store full"},
	{keyGTID, InstanceScope, Bool, "false", "", "start and continue by GTID"},
	{keyDruid, InstanceScope, Bool, "false", "", "the password is encrypted"},
	{keyMultiStream, InstanceScope, Bool, "false", "", "several streams of PolarDB-X"},
	{keyRDS, InstanceScope, Text, "", "", "RDS instance whose binlogs are fetched from OSS"},
	{keyTrustStore, InstanceScope, Text, "", "", "key store with the authorities for VERIFY_CA and VERIFY_IDENTITY"},
	{keyClientKeyStore, InstanceScope, Text, "", "", "key store with a client certificate"},

	// Known from Canal. The value is what Canal ships or takes by default; any
	// other one is worth a word to the operator.
	{"canal.id", Ignored, Text, "", "", ""},
	{"canal.conf.dir", Ignored, Folder, "../conf", "", ""},
	{"canal.register.ip", Ignored, Text, "", "", ""},
	{"canal.metrics.pull.port", Ignored, Integer, "11112", "", ""},
	{"canal.admin.port", Ignored, Integer, "11110", "", ""},
	{"canal.admin.user", Ignored, Text, "admin", "", ""},
	{"canal.admin.passwd", Ignored, Text, "", "", ""},
	{"canal.admin.register.auto", Ignored, Bool, "false", "", ""},
	{"canal.admin.register.cluster", Ignored, Text, "", "", ""},
	{"canal.admin.register.name", Ignored, Text, "", "", ""},
	{"canal.auto.scan", Ignored, Bool, "true", "", ""},
	{"canal.instance.global.lazy", Ignored, Bool, "false", "", ""},
	{"canal.instance.global.manager.address", Ignored, Text, "${canal.admin.manager}", "", ""},
	{"canal.socketChannel", Ignored, Text, "", "", ""},
	{"canal.zookeeper.flush.period", Ignored, Integer, "1000", "", ""},
	{"canal.aliyun.accessKey", Ignored, Text, "", "", ""},
	{"canal.aliyun.secretKey", Ignored, Text, "", "", ""},
	{"canal.aliyun.accesskey", Ignored, Text, "", "", ""},
	{"canal.aliyun.secretkey", Ignored, Text, "", "", ""},
	{"canal.aliyun.uid", Ignored, Text, "", "", ""},
	{"canal.instance.rds.accesskey", Ignored, Text, "", "", ""},
	{"canal.instance.rds.secretkey", Ignored, Text, "", "", ""},
	{"canal.instance.pwdPublicKey", Ignored, Text, "", "", ""},
	{"canal.instance.master.gtid", Ignored, Text, "", "", ""},
	{"canal.instance.fallbackIntervalInSeconds", Ignored, Integer, "60", "", ""},
	{"canal.instance.network.receiveBufferSize", Ignored, Integer, "16384", "", ""},
	{"canal.instance.network.sendBufferSize", Ignored, Integer, "16384", "", ""},
	{"canal.instance.detecting.enable", Ignored, Bool, "false", "", ""},
	{"canal.instance.detecting.sql", Ignored, Text, "select 1", "", ""},
	{"canal.instance.detecting.interval.time", Ignored, Integer, "3", "", ""},
	{"canal.instance.detecting.retry.threshold", Ignored, Integer, "3", "", ""},
	{"canal.instance.detecting.heartbeatHaEnable", Ignored, Bool, "false", "", ""},
	{"canal.instance.filter.druid.ddl", Ignored, Bool, "true", "", ""},
	{"canal.instance.filter.query.dcl", Ignored, Bool, "false", "", ""},
	{"canal.instance.parser.parallelBufferSize", Ignored, Integer, "256", "", ""},
	{"canal.instance.memory.rawEntry", Ignored, Bool, "true", "", ""},
	{"canal.instance.tsdb.enable", Ignored, Bool, "true", "", ""},
	{"canal.instance.tsdb.spring.xml", Ignored, Text, "classpath:spring/tsdb/h2-tsdb.xml", "", ""},
	{"canal.instance.tsdb.dir", Ignored, Folder, "${canal.file.data.dir:../conf}/${canal.instance.destination:}", "", ""},
	{"canal.instance.tsdb.url", Ignored, Text, "jdbc:h2:${canal.instance.tsdb.dir}/h2;CACHE_SIZE=1000;MODE=MYSQL;", "", ""},
	{"canal.instance.tsdb.dbUsername", Ignored, Text, "canal", "", ""},
	{"canal.instance.tsdb.dbPassword", Ignored, Text, "canal", "", ""},
	{"canal.instance.tsdb.snapshot.interval", Ignored, Integer, "24", "", ""},
	{"canal.instance.tsdb.snapshot.expire", Ignored, Integer, "360", "", ""},
}

var keyByName = func() map[string]*Key {
	m := make(map[string]*Key, len(keys))
	for i := range keys {
		m[keys[i].Name] = &keys[i]
	}
	return m
}()

// families are keys known from Canal whose names vary. Only the settings of one
// destination in the main file have an effect: perDestination's spring.xml.
var (
	families = regexp.MustCompile(`^(kafka|rocketmq|rabbitmq|pulsarmq|canal\.mq)\.` +
		`|^canal\.instance\.(standby|master[12]|standby[12])\.(address|journal\.name|position|timestamp|gtid)$` +
		`|^canal\.instance\.(master|standby)\.(sslMode|tlsVersions|(trust|client)CertificateKeyStore(Type|Url|Password))$`)
	perDestination = regexp.MustCompile(`^canal\.instance\.[^.]+\.(mode|lazy|manager\.address|spring\.xml)$`)
)

// review sorts the keys of a file that this program does not act on: those
// it does not know, with the key that was probably meant, and those that it
// knows but ignores, where they are set to something out of the ordinary.
func review(file map[string]property) (unknown, ignored []string) {
	for name, p := range file {
		k := keyByName[name]
		text := strings.TrimSpace(p.text)
		switch {
		case k != nil && k.Scope != Ignored:
		case k != nil:
			if text != "" && text != k.Default {
				ignored = append(ignored, name)
			}
		case perDestination.MatchString(name):
		case families.MatchString(name):
			if text != "" && !strings.Contains(name, "mq.") && !strings.HasPrefix(name, "kafka.") {
				ignored = append(ignored, name)
			}
		default:
			if near := nearest(name); near != "" {
				name += " (" + near + "?)"
			}
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	slices.Sort(ignored)
	return unknown, ignored
}

// nearest is the known key that differs by case or by at most two characters.
func nearest(name string) string {
	const most = 2
	if len(name) > 100 {
		return ""
	}
	for _, k := range keys {
		if strings.EqualFold(k.Name, name) {
			return k.Name
		}
	}
	best, bestDistance := "", most+1
	for _, k := range keys {
		if d := len(k.Name) - len(name); d > most || d < -most {
			continue
		}
		if d := distance(k.Name, name); d < bestDistance {
			best, bestDistance = k.Name, d
		}
	}
	return best
}

// distance counts the insertions, deletions and changes between two texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
