package config

import "slices"

// Reasons why a key of Canal has no effect here.
const (
	noAdmin     = "canal-admin is not part of this version"
	noQueues    = "message queues are not part of this version"
	noLazy      = "instances start at once"
	historyFile = "the history of structures is kept in a file of its own, structures.db in canal.instance.tsdb.dir"
	noStandby   = "fail-over to a second source is not part of this version"
	noGroup     = "group-instance.xml is not part of this version"
	noOSS       = "binlogs from OSS are not part of this version"
	noProbe     = "a dead source is noticed by the heartbeat of its binlog stream"
	noKeyStore  = "key stores are not part of this version"
	noGTID      = "GTID mode is not part of this version"
)

var keys = slices.Concat(serverKeys, instanceKeys, groupKeys(), queueKeys)

var serverKeys = []Key{
	{keyIP, ServerScope, Text, "", "", "address to listen on; empty listens on all", ""},
	{keyRegisterIP, ServerScope, Text, "", "", "address that clients are told to use, by ZooKeeper: a name or an IPv4 address; empty takes canal.ip, or this host's", ""},
	{keyPort, ServerScope, Integer, "11111", "", "port for clients", ""},
	{keyMetricsPort, ServerScope, Integer, "11112", "", "port for metrics and health, on all interfaces; 0 or less opens none", ""},
	{keyUser, ServerScope, Text, "", "", "user that clients must name; empty accepts any", ""},
	{keyPasswd, ServerScope, Text, "", "", "hex of SHA1(SHA1(password)) of clients, 40 digits; empty asks for none", ""},
	{keyServerMode, ServerScope, Enum, "tcp", "", "how data is delivered: tcp", ""},
	{keyWithoutNetty, ServerScope, Bool, "false", "", "open no client port", ""},
	{keyDestinations, ServerScope, List, "", "", "names of destinations to run, besides those that the folder scan finds", ""},
	{keyDestExpr, ServerScope, Text, "", "", "prefix{n-m}: replaces the destinations by prefixn to prefixm", ""},
	{keyConfDir, ServerScope, Folder, "../conf", "", "folder that the scan looks at; relative to bin", ""},
	{keyScan, ServerScope, Bool, "false", "", "start, start anew and stop instances as their folders come, change and go", ""},
	{keyScanInterval, ServerScope, Integer, "5", "s", "pause between two scans; a file that is being written is left alone for one more", ""},
	{keyGlobalMode, ServerScope, Enum, "spring", "", "where settings of instances come from: spring, which means files", ""},
	{keyLazy, ServerScope, Bool, "false", "", "start an instance only when a client asks for it", noLazy},
	{keyGlobalXML, ServerScope, Enum, fileWiring, "", "what an instance keeps: memory-instance.xml nothing, file-instance.xml its cursors in files, default-instance.xml in ZooKeeper", ""},
	{"canal.instance.global.manager.address", ServerScope, Text, "${canal.admin.manager}", "", "canal-admin of all instances", noAdmin},
	{"canal.instance.<destination>.spring.xml", ServerScope, Enum, "", "", "what one instance keeps; in the main file", ""},
	{"canal.instance.<destination>.mode", ServerScope, Enum, "", "", "where settings of one instance come from", "all instances are read from files"},
	{"canal.instance.<destination>.lazy", ServerScope, Bool, "", "", "start one instance only when a client asks for it", noLazy},
	{"canal.instance.<destination>.manager.address", ServerScope, Text, "", "", "canal-admin of one instance", noAdmin},
	{keyZKServers, ServerScope, List, "", "", "ZooKeeper of a cluster, host:port,...[/chroot]: each destination is run by one of its servers; empty is no cluster", ""},
	{keyZKTimeout, ServerScope, Integer, "10000", "ms", "session timeout to ask ZooKeeper for: so long a dead server keeps its destinations", ""},
	{keyZKUser, ServerScope, Text, "", "", "user towards ZooKeeper (digest); empty names nobody", ""},
	{keyZKPassword, ServerScope, Text, "", "", "its password", ""},
	{keyZKACL, ServerScope, Enum, "open", "", "who may touch the nodes made in ZooKeeper: open is everybody, as Java servers need it; private is that user", ""},
	{keyAdminManager, ServerScope, Address, "", "", "canal-admin to take the configuration from; refused unless empty", ""},
	{keyAdminPort, ServerScope, Integer, "11110", "", "port for canal-admin", noAdmin},
	{"canal.admin.user", ServerScope, Text, "admin", "", "user towards canal-admin", noAdmin},
	{"canal.admin.passwd", ServerScope, Text, "", "", "its password", noAdmin},
	{"canal.admin.register.auto", ServerScope, Bool, "false", "", "register at canal-admin", noAdmin},
	{"canal.admin.register.cluster", ServerScope, Text, "", "", "cluster to register for", noAdmin},
	{"canal.admin.register.name", ServerScope, Text, "", "", "name to register under", noAdmin},
	{"canal.socketChannel", ServerScope, Enum, "", "", "kind of Java socket", "there is one kind"},
	{"canal.id", ServerScope, Text, "", "", "read by no version of Canal", "Canal does not read it either"},
	{keyConf, ServerScope, Text, "", "", "the main file; on the command line only", ""},
	{keyMetricsIP, ServerScope, Text, "", "", "address for metrics and health; empty listens on all", ""},
	{keyMetricsUser, ServerScope, Text, "", "", "user that metrics and health ask for; empty asks for none", ""},
	{keyMetricsPassword, ServerScope, Text, "", "", "its password", ""},
	{keyMetricsCert, ServerScope, Text, "", "", "file with the certificate for metrics and health, as PEM; relative to bin", ""},
	{keyMetricsKey, ServerScope, Text, "", "", "file with its key", ""},
	{keyReadyLimit, ServerScope, Integer, "60", "s", "how long a destination may be without its source before /readyz says so", ""},
	{keyLogFormat, ServerScope, Enum, "text", "", "form of log lines: text as Canal writes them, json", ""},
	{keyLogLevel, ServerScope, Enum, "info", "", "least level that is logged: debug, info, warn, error", ""},
}

var instanceKeys = []Key{
	{keyDestination, InstanceScope, Text, "", "", "name of the destination; set by the server, to be used in values", ""},
	{keySlaveID, InstanceScope, Integer, "0", "", "server id towards the source; 0 makes one from the name and the host's address", ""},
	{keyAddress, InstanceScope, Address, "", "", "the source", ""},
	{keyJournal, InstanceScope, Text, "", "", "binlog file to start at when no cursor is stored", ""},
	{keyPosition, InstanceScope, Integer, "", "", "offset in that file", ""},
	{keyTimestamp, InstanceScope, Integer, "", "ms", "time to start at, in that file", ""},
	{"canal.instance.master.gtid", InstanceScope, Text, "", "", "GTID set to start behind", noGTID},
	{"canal.instance.standby.address", InstanceScope, Address, "", "", "second source", noStandby},
	{"canal.instance.standby.journal.name", InstanceScope, Text, "", "", "its binlog file to start at", noStandby},
	{"canal.instance.standby.position", InstanceScope, Integer, "", "", "offset in that file", noStandby},
	{"canal.instance.standby.timestamp", InstanceScope, Integer, "", "ms", "time to start at", noStandby},
	{"canal.instance.standby.gtid", InstanceScope, Text, "", "", "GTID set to start behind", noStandby},
	{keyDBUser, InstanceScope, Text, "retl", "", "user at the source", ""},
	{keyDBPassword, InstanceScope, Text, "retl", "", "its password", ""},
	{keyDruid, InstanceScope, Bool, "false", "", "the password is encrypted as Druid's ConfigTools do", ""},
	{keyPublicKey, InstanceScope, Text, "retl", "", "public key to decrypt it with, base64", ""},
	{keyDatabase, InstanceScope, Text, "", "", "default database of the session", ""},
	{keyCharset, InstanceScope, Text, "UTF-8", "", "character set of names and texts, by its Java name", ""},
	{keyGTID, InstanceScope, Bool, "false", "", "start and continue by GTID; refused when true", ""},
	{keyMultiStream, InstanceScope, Bool, "false", "", "several streams of PolarDB-X; refused when true", ""},
	{keyRDS, InstanceScope, Text, "", "", "RDS instance whose binlogs are fetched from OSS; refused unless empty", ""},
	{"canal.aliyun.accesskey", InstanceScope, Text, "", "", "account for OSS", noOSS},
	{"canal.aliyun.secretkey", InstanceScope, Text, "", "", "its key", noOSS},
	{"canal.instance.rds.accesskey", InstanceScope, Text, "", "", "account for OSS", noOSS},
	{"canal.instance.rds.secretkey", InstanceScope, Text, "", "", "its key", noOSS},
	{keySSLMode, InstanceScope, Enum, "DISABLED", "", "DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY", ""},
	{"canal.instance.master.tlsVersions", InstanceScope, List, "", "", "TLS versions to use", "TLS 1.2 and 1.3 are spoken"},
	{keyTrustStore, InstanceScope, Text, "", "", "key store with the authorities for VERIFY_CA and VERIFY_IDENTITY; refused unless empty", ""},
	{"canal.instance.master.trustCertificateKeyStoreType", InstanceScope, Enum, "", "", "JKS or PKCS12", noKeyStore},
	{"canal.instance.master.trustCertificateKeyStorePassword", InstanceScope, Text, "", "", "its password", noKeyStore},
	{keyClientKeyStore, InstanceScope, Text, "", "", "key store with a client certificate; refused unless empty", ""},
	{"canal.instance.master.clientCertificateKeyStoreType", InstanceScope, Enum, "", "", "JKS or PKCS12", noKeyStore},
	{"canal.instance.master.clientCertificateKeyStorePassword", InstanceScope, Text, "", "", "its password", noKeyStore},
	{"canal.instance.standby.sslMode", InstanceScope, Enum, "", "", "TLS of the second source", noStandby},
	{"canal.instance.standby.tlsVersions", InstanceScope, List, "", "", "TLS versions of the second source", noStandby},
	{"canal.instance.standby.trustCertificateKeyStoreType", InstanceScope, Enum, "", "", "key store of the second source", noStandby},
	{"canal.instance.standby.trustCertificateKeyStoreUrl", InstanceScope, Text, "", "", "key store of the second source", noStandby},
	{"canal.instance.standby.trustCertificateKeyStorePassword", InstanceScope, Text, "", "", "key store of the second source", noStandby},
	{"canal.instance.standby.clientCertificateKeyStoreType", InstanceScope, Enum, "", "", "key store of the second source", noStandby},
	{"canal.instance.standby.clientCertificateKeyStoreUrl", InstanceScope, Text, "", "", "key store of the second source", noStandby},
	{"canal.instance.standby.clientCertificateKeyStorePassword", InstanceScope, Text, "", "", "key store of the second source", noStandby},
	{"canal.instance.network.receiveBufferSize", InstanceScope, Integer, "16384", "bytes", "socket buffer towards the source", "the kernel sizes the buffers"},
	{"canal.instance.network.sendBufferSize", InstanceScope, Integer, "16384", "bytes", "socket buffer towards the source", "the kernel sizes the buffers"},
	{keySoTimeout, InstanceScope, Integer, "30", "s", "longest wait for the answer to a statement", ""},
	{"canal.instance.detecting.enable", InstanceScope, Bool, "false", "", "ask the source at intervals whether it lives", noProbe},
	{"canal.instance.detecting.sql", InstanceScope, Text, "select 1", "", "statement to ask with", noProbe},
	{"canal.instance.detecting.interval.time", InstanceScope, Integer, "3", "s", "pause between two", noProbe},
	{"canal.instance.detecting.retry.threshold", InstanceScope, Integer, "3", "", "failures before the second source is taken", noStandby},
	{"canal.instance.detecting.heartbeatHaEnable", InstanceScope, Bool, "false", "", "take the second source then", noStandby},
	{"canal.instance.fallbackIntervalInSeconds", InstanceScope, Integer, "60", "s", "step back in time after a change of sources", noStandby},
	{keyResetPos, InstanceScope, Bool, "false", "", "go on at the end of the binlog when a cursor's place is gone from the source", ""},
	{keyRegex, InstanceScope, List, `.*\..*`, "", "tables wanted, as patterns of schema.table", ""},
	{keyBlackRegex, InstanceScope, List, "", "", "tables not wanted", ""},
	{keyField, InstanceScope, List, "", "", "columns wanted, as schema.table:column/column,…; all of a table that is not named", ""},
	{keyBlackField, InstanceScope, List, "", "", "columns not wanted, of tables that canal.instance.filter.field does not name", ""},
	{keyDruidDDL, InstanceScope, Bool, "true", "", "classify statements as Canal's Druid parser does; false: as its simple one", ""},
	{keyQueryDCL, InstanceScope, Bool, "false", "", "leave out statements without a kind: CREATE DATABASE, and what the parser does not understand", ""},
	{keyQueryDML, InstanceScope, Bool, "false", "", "leave out statements that change rows or accompany row changes", ""},
	{keyQueryDDL, InstanceScope, Bool, "false", "", "leave out DDL", ""},
	{keyTableError, InstanceScope, Bool, "false", "", "leave out tables whose structure cannot be found", ""},
	{keyRows, InstanceScope, Bool, "false", "", "leave out all rows", ""},
	{keyInsert, InstanceScope, Bool, "false", "", "leave out inserted rows", ""},
	{keyUpdate, InstanceScope, Bool, "false", "", "leave out updated rows", ""},
	{keyDelete, InstanceScope, Bool, "false", "", "leave out deleted rows", ""},
	{keyMarkers, InstanceScope, Bool, "false", "", "leave out begin and end of transactions", ""},
	{keyFormat, InstanceScope, List, "", "", "binlog formats accepted: ROW, STATEMENT, MIXED; empty accepts all", ""},
	{keyImage, InstanceScope, List, "", "", "row images accepted: FULL, MINIMAL, NOBLOB; empty accepts all", ""},
	{keyIsolation, InstanceScope, Bool, "false", "", "hand out DDL in batches of its own", ""},
	{keyTransaction, InstanceScope, Integer, "1024", "entries", "most entries that become visible at once; a power of two", ""},
	{keyParallel, InstanceScope, Bool, "true", "", "use several workers", ""},
	{keyThreads, InstanceScope, Integer, "", "", "number of workers; empty takes 60 % of the CPUs", ""},
	{"canal.instance.parser.parallelBufferSize", InstanceScope, Integer, "256", "events", "events in flight", "what is in flight is bounded by bytes"},
	{keyBufferSize, InstanceScope, Integer, "16384", "entries", "size of the store; a power of two", ""},
	{keyMemunit, InstanceScope, Integer, "1024", "bytes", "the store holds size × unit bytes", ""},
	{keyBatchMode, InstanceScope, Enum, "MEMSIZE", "", "what a batch's size counts: MEMSIZE units of memory, ITEMSIZE entries", ""},
	{"canal.instance.memory.rawEntry", InstanceScope, Bool, "true", "", "keep entries as bytes", "entries are always bytes"},
	{keyDataDir, InstanceScope, Folder, "../conf", "", "folder of cursors, one folder per destination in it; relative to bin", ""},
	{keyZKFlush, InstanceScope, Integer, "1000", "ms", "how often cursors are written to ZooKeeper, with default-instance.xml", ""},
	{keyFlushPeriod, InstanceScope, Integer, "1000", "ms", "how often cursors are written", ""},
	{keyAbsent, InstanceScope, Integer, "60", "s", "after this time a client that is away no longer holds the store full", ""},
	{keyFullDecimal, InstanceScope, Bool, "false", "", "DECIMAL with all digits of its fraction: 1.00 and not 1.0", ""},
	{keyMemberNames, InstanceScope, Bool, "false", "", "ENUM and SET by the names of their members and not as numbers", ""},
	{keyStableType, InstanceScope, Bool, "false", "", "one sqlType for all values of an unsigned column", ""},
	{keyWholeJSON, InstanceScope, Bool, "false", "", "the whole document of a partial JSON update, where the before image has one", ""},
	{keyColumnCharset, InstanceScope, Bool, "false", "", "decode text by the column's own character set, where the binlog tells it (MySQL from 8.0 on; MariaDB with binlog_row_metadata=MINIMAL)", ""},
	{keyTimestampZone, InstanceScope, Text, "", "", "time zone of TIMESTAMP columns, such as Asia/Shanghai or UTC; empty is the process's", ""},
	{keyWeight, InstanceScope, Integer, "1", "", "how much of a server the instance takes, against others; canald cluster rebalance evens it out", ""},
	{keyPrefer, InstanceScope, List, "", "", "host:port of the servers that canald cluster rebalance puts the instance on, the first that is there; empty leaves it to the weights", ""},
	{keyMariaBegin, InstanceScope, Bool, "false", "", "a TRANSACTIONBEGIN for the transactions of a MariaDB, too", ""},
	{keyTSDB, InstanceScope, Bool, "true", "", "keep the history of structures in a file; with memory-instance.xml it is never kept", ""},
	{"canal.instance.tsdb.spring.xml", InstanceScope, Text, "classpath:spring/tsdb/h2-tsdb.xml", "", "where to", historyFile},
	{keyTSDBDir, InstanceScope, Folder, "${canal.file.data.dir:../conf}/${canal.instance.destination:}", "", "folder of the history; relative to bin", ""},
	{keyTSDBURL, InstanceScope, Text, "jdbc:h2:${canal.instance.tsdb.dir}/h2;CACHE_SIZE=1000;MODE=MYSQL;", "", "database of the history", historyFile},
	{"canal.instance.tsdb.dbUsername", InstanceScope, Text, "canal", "", "its user", historyFile},
	{"canal.instance.tsdb.dbPassword", InstanceScope, Text, "canal", "", "its password", historyFile},
	{"canal.instance.tsdb.snapshot.interval", InstanceScope, Integer, "24", "h", "pause between two snapshots", "each change is kept when it happens"},
	{keyTSDBExpire, InstanceScope, Integer, "360", "h", "how long changes of structures are kept", ""},
}

// groupKeys are those of group-instance.xml, which reads two pairs of sources.
func groupKeys() []Key {
	var out []Key
	for _, source := range []string{"master1", "standby1", "master2", "standby2"} {
		name := "canal.instance." + source + "."
		out = append(out,
			Key{name + "address", InstanceScope, Address, "", "", "a source of a group", noGroup},
			Key{name + "journal.name", InstanceScope, Text, "", "", "its binlog file to start at", noGroup},
			Key{name + "position", InstanceScope, Integer, "", "", "offset in that file", noGroup},
			Key{name + "timestamp", InstanceScope, Integer, "", "ms", "time to start at", noGroup},
			Key{name + "gtid", InstanceScope, Text, "", "", "GTID set to start behind", noGroup})
	}
	return out
}

var queueKeys = []Key{
	{"canal.aliyun.accessKey", ServerScope, Text, "", "", "account at Aliyun", noQueues},
	{"canal.aliyun.secretKey", ServerScope, Text, "", "", "its key", noQueues},
	{"canal.aliyun.uid", ServerScope, Integer, "", "", "its number", noQueues},
	{"canal.mq.*", InstanceScope, Text, "", "", "message queues", noQueues},
	{"kafka.*", ServerScope, Text, "", "", "Kafka", noQueues},
	{"rocketmq.*", ServerScope, Text, "", "", "RocketMQ", noQueues},
	{"rabbitmq.*", ServerScope, Text, "", "", "RabbitMQ", noQueues},
	{"pulsarmq.*", ServerScope, Text, "", "", "Pulsar", noQueues},
}
