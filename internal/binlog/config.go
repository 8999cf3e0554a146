// Package binlog follows one MySQL or MariaDB as a replica does and hands on its
// events in chunks.
//
// A Reader connects, finds the start, dumps, checks and frames events, keeps
// the tables' structures current, and cuts chunks in binlog order. Everything
// happens in the goroutine that calls Run; transcoding is somebody else's work.
package binlog

import (
	"context"
	"time"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/render"
	"github.com/canald/canald/internal/tsdb"
)

// TLSMode says how a connection is encrypted, as canal.instance.master.sslMode names it.
type TLSMode string

// The modes. PREFERRED goes on without TLS when the server has none; REQUIRED
// encrypts without looking at the certificate; VERIFY_CA checks its chain;
// VERIFY_IDENTITY also that it was issued for the host (its alternative names).
const (
	TLSDisabled       TLSMode = "DISABLED"
	TLSPreferred      TLSMode = "PREFERRED"
	TLSRequired       TLSMode = "REQUIRED"
	TLSVerifyCA       TLSMode = "VERIFY_CA"
	TLSVerifyIdentity TLSMode = "VERIFY_IDENTITY"
)

// Config is what a Reader must know of its source. Durations that are zero get the default.
type Config struct {
	Addr     string // host:port
	User     string
	Password string
	TLS      TLSMode // empty is DISABLED
	ServerID uint32  // as a replica; must be unique among the source's replicas
	Database string  // default database of the session, usually empty
	GTID     bool    // places carry sets of transactions, and dumps are asked for by them

	Charset *render.Charset // of names and texts; nil is UTF-8

	Formats []string // accepted values of binlog_format; empty accepts all
	Images  []string // accepted values of binlog_row_image; empty accepts all

	// History keeps the structures; the reader owns it while it runs. Without one
	// they are kept for the reader's life.
	History *history.History
	// Archive keeps structures where Java servers do as well; nil keeps them in the
	// history alone.
	Archive *tsdb.Archive

	// SkipTable tells whether the rows of a table are not wanted. It is asked
	// once per table map; nil wants all.
	SkipTable func(schema, table string) bool
	// FilterName changes with what SkipTable answers; nil is one that never does.
	FilterName func() string
	// SkipBrokenTables leaves out the rows of a table whose structure cannot be
	// found, as canal.instance.filter.table.error does.
	SkipBrokenTables bool
	// Simple classifies statements as Canal's parser without Druid does
	// (canal.instance.filter.druid.ddl=false).
	Simple bool
	// ShownColumns tells which columns of a table clients get; a nil result means
	// all of them. It is asked once per table map; nil shows all.
	ShownColumns func(schema, table string) func(column string) bool
	entry.Form
	// ColumnCharsets decodes each text column by its own character set, where the binlog tells it.
	ColumnCharsets bool
	// MariaBegin makes a begin of each MariaDB transaction, for which there is no event.
	MariaBegin bool
	// AllStatements hands on, without a kind, statements of which Canal's parser
	// makes nothing. StatementNames tells the names of those that it cannot parse;
	// PlainNames takes the quotes off databases' names; StatementTables lists all
	// tables of a statement in the entry's props.
	AllStatements, StatementNames, PlainNames, StatementTables bool
	// XAOnePhase makes a commit of an XA transaction that needed no second phase;
	// LoadData hands on the text of a LOAD DATA of statement format, without its data.
	XAOnePhase, LoadData bool
	// SkipQueries leaves out statements that change rows and what accompanies row
	// changes as statements (canal.instance.filter.query.dml), SkipDCL statements
	// without a kind (canal.instance.filter.query.dcl), SkipDDL all statements
	// (canal.instance.filter.query.ddl), SkipRows all rows, and the three kinds
	// the rows of that kind.
	SkipQueries, SkipDCL, SkipDDL, SkipRows bool
	SkipInserts, SkipUpdates, SkipDeletes   bool

	Counters *Counters // written when not nil

	ConnectTimeout time.Duration // of TCP, TLS and login; default 10 s
	QueryTimeout   time.Duration // of one statement; default 30 s
	ReadTimeout    time.Duration // silence on the dump after which it counts as dead; default 25 s
	Heartbeat      time.Duration // asked of the source; default 15 s
}

// Defaults of Config's durations. The heartbeat must be well below the read timeout.
const (
	defaultConnectTimeout = 10 * time.Second
	defaultQueryTimeout   = 30 * time.Second
	defaultReadTimeout    = 25 * time.Second
	defaultHeartbeat      = 15 * time.Second
)

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&c.ConnectTimeout, defaultConnectTimeout)
	set(&c.QueryTimeout, defaultQueryTimeout)
	set(&c.ReadTimeout, defaultReadTimeout)
	set(&c.Heartbeat, defaultHeartbeat)
	if c.TLS == "" {
		c.TLS = TLSDisabled
	}
	return c
}

// Sink takes chunks in binlog order.
type Sink interface {
	// Free returns an empty chunk; it waits while too many are in flight.
	Free(ctx context.Context) (*entry.Chunk, error)
	// Emit hands a chunk on; it belongs to the sink from then on.
	Emit(ctx context.Context, c *entry.Chunk) error
}

// Status is where a source's binlog ends, by its own word and clock.
type Status struct {
	Position position.Position // with ServerID, and Timestamp of the source's clock in ms
	GTID     string            // the set that a MySQL shows for it, as the server writes it
}
