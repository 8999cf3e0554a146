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

// The scopes. Keys of the server stand in the main file and hold until the
// server ends; keys of an instance stand in either file, its own being the
// stronger, and a change of instance.properties starts the instance anew.
const (
	ServerScope   Scope = "server"
	InstanceScope Scope = "instance"
)

// Key is one row of the table of keys. A name may hold one * or <destination>,
// which stand for any text and for the name of a destination.
type Key struct {
	Name    string
	Scope   Scope
	Kind    Kind
	Default string // when absent or blank
	Unit    string
	Doc     string // what it does, or would do in Canal
	Inert   string // why it has no effect here; empty when it has one
}

// Secret tells whether values of the key are never shown.
func (k Key) Secret() bool { return isSecret(k.Name) }

// Live tells whether a change takes effect while the server runs.
func (k Key) Live() bool { return k.Scope == InstanceScope && k.Inert == "" }

// Keys returns the table of all keys, those of the server first.
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
	keyLazy         = "canal.instance.global.lazy"
	keyConfDir      = "canal.conf.dir"
	keyScan         = "canal.auto.scan"
	keyScanInterval = "canal.auto.scan.interval"
	keyRegisterIP   = "canal.register.ip"
	keyMetricsPort  = "canal.metrics.pull.port"
	keyAdminPort    = "canal.admin.port"
	keyAdminManager = "canal.admin.manager"
	keyZKServers    = "canal.zkServers"
	keyZKTimeout    = "canal.zookeeper.session.timeout"
	keyZKFlush      = "canal.zookeeper.flush.period"
	keyZKUser       = "canald.zookeeper.user"
	keyZKPassword   = "canald.zookeeper.passwd"
	keyZKACL        = "canald.zookeeper.acl"
	keyZKTLS        = "canald.zookeeper.tls"
	keyZKCA         = "canald.zookeeper.tls.ca"
	keyZKCert       = "canald.zookeeper.tls.cert"
	keyZKKey        = "canald.zookeeper.tls.key"
	keyConf         = "canal.conf"

	keyLogFormat       = "canald.log.format"
	keyLogLevel        = "canald.log.level"
	keyMetricsIP       = "canald.metrics.ip"
	keyMetricsUser     = "canald.metrics.user"
	keyMetricsPassword = "canald.metrics.passwd"
	keyMetricsCert     = "canald.metrics.tls.cert"
	keyMetricsKey      = "canald.metrics.tls.key"
	keyReadyLimit      = "canald.ready.limit"

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
	keyDruidDDL       = "canal.instance.filter.druid.ddl"
	keyQueryDCL       = "canal.instance.filter.query.dcl"
	keyFullDecimal    = "canald.decimal.full"
	keyMemberNames    = "canald.enum.names"
	keyStableType     = "canald.sqltype.stable"
	keyWholeJSON      = "canald.json.full"
	keyColumnCharset  = "canald.column.charset"
	keyOldFloats      = "canald.float.jdk8"
	keyPaddedBinary   = "canald.binary.padded"
	keyServerTypes    = "canald.mysqltype.server"
	keyServerJSON     = "canald.json.server"
	keyAllStatements  = "canald.query.all"
	keyStmtNames      = "canald.query.names"
	keyPlainNames     = "canald.query.plain.names"
	keyStmtTables     = "canald.query.tables"
	keyXAOnePhase     = "canald.xa.onephase"
	keyLoadData       = "canald.load.data"
	keyTimestampZone  = "canald.timestamp.zone"
	keyMariaBegin     = "canald.mariadb.begin"
	keyWeight         = "canald.instance.weight"
	keyPrefer         = "canald.instance.prefer"
	keyTSDB           = "canal.instance.tsdb.enable"
	keyTSDBDir        = "canal.instance.tsdb.dir"
	keyTSDBXML        = "canal.instance.tsdb.spring.xml"
	keyTSDBUser       = "canal.instance.tsdb.dbUsername"
	keyTSDBPassword   = "canal.instance.tsdb.dbPassword"
	keyTSDBInterval   = "canal.instance.tsdb.snapshot.interval"
	keyTSDBURL        = "canal.instance.tsdb.url"
	keyTSDBExpire     = "canal.instance.tsdb.snapshot.expire"
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
	keyStartGTID      = "canal.instance.master.gtid"
	keyGTID           = "canal.instance.gtidon"
	keyPublicKey      = "canal.instance.pwdPublicKey"
	keyDruid          = "canal.instance.enableDruid"
	keyMultiStream    = "canal.instance.multi.stream.on"
	keyRDS            = "canal.instance.rds.instanceId"
	keyTrustStore     = "canal.instance.master.trustCertificateKeyStoreUrl"
	keyClientKeyStore = "canal.instance.master.clientCertificateKeyStoreUrl"
)

var keyByName = func() map[string]*Key {
	m := make(map[string]*Key, len(keys))
	for i := range keys {
		m[keys[i].Name] = &keys[i]
	}
	return m
}()

// families are the rows whose names have a variable part.
var families = func() map[*Key]*regexp.Regexp {
	m := map[*Key]*regexp.Regexp{}
	for i := range keys {
		if name := keys[i].Name; strings.ContainsAny(name, "*<") {
			pattern := strings.NewReplacer(`\*`, `.+`, `<destination>`, `[^.]+`).Replace(regexp.QuoteMeta(name))
			m[&keys[i]] = regexp.MustCompile("^" + pattern + "$")
		}
	}
	return m
}()

// lookup finds the row of a key.
func lookup(name string) *Key {
	if k := keyByName[name]; k != nil {
		return k
	}
	for k, pattern := range families {
		if pattern.MatchString(name) {
			return k
		}
	}
	return nil
}

// review sorts the keys of a file that this program does not act on: those
// that it does not know; those among them that were probably meant to be
// another, as phrases; and those that have no effect, with the reason, where they
// are set to something out of the ordinary.
func review(file map[string]property) (unknown, misspelt, inert []string) {
	for name, p := range file {
		k := lookup(name)
		text := strings.TrimSpace(p.text)
		switch {
		case k == nil:
			if near := nearest(name); near != "" {
				misspelt = append(misspelt, (&problem{file: p.file, line: p.line, key: name, masked: true, what: "unknown; is " + near + " meant?"}).Error())
			} else {
				unknown = append(unknown, name)
			}
		case k.Inert == noQueues: // nothing reads them in tcp mode, in Canal neither
		case k.Inert != "" && text != "" && text != k.Default:
			inert = append(inert, (&problem{file: p.file, line: p.line, key: name, masked: true, what: k.Inert}).Error())
		}
	}
	slices.Sort(unknown)
	slices.Sort(misspelt)
	slices.Sort(inert)
	return unknown, misspelt, inert
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
