package entry

import (
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/render"
)

// Kind says what a worker has to make of an event.
type Kind uint8

// The kinds of events that a chunk holds.
const (
	KindRows       Kind = iota
	KindBegin           // QUERY "BEGIN"
	KindMariaBegin      // GTID of a MariaDB transaction
	KindXID             // XID
	KindCommit          // QUERY "COMMIT"
	KindXA              // QUERY "XA START", "XA END", "XA COMMIT", "XA ROLLBACK"
	KindXAOnePhase      // XA_PREPARE that is a commit
	KindStatement       // any other QUERY
	KindRowsQuery       // ROWS_QUERY
	KindAnnotate        // ANNOTATE_ROWS
	KindUserVar         // USER_VAR
	KindIntVar          // INTVAR
	KindRand            // RAND
	KindHeartbeat       // a sign of life of the source: flushes, makes no entry
)

// Event is one raw event of a chunk.
type Event struct {
	Codec   *Codec // of a row event
	Context *Context
	// Statement is what the reader found out about a KindStatement.
	Statement *Statement
	Offset    uint64 // where it starts in its file; its payload for an event inside one
	Length    uint32 // event length for the header of the entry, bytes
	Off       uint32 // its bytes, without checksum, in the chunk
	Len       uint32
	Sub       uint32 // number within its payload, else 0
	Kind      Kind
	Resume    bool // see Item
	Header    event.Header
}

// Statement is how clients see a statement. It never changes once it is made.
type Statement struct {
	Event   EventType
	Charset *render.Charset // of the text

	names []byte // schemaName and tableName, as far as they are known, ready for a header
	props []byte // ready for a header
}

// AddProp gives the entry of a statement a property. It comes before the
// statement is handed on.
func (s *Statement) AddProp(key, value string) { s.props = appendPair(s.props, 0x62, key, value) }

// NewStatement makes a statement. A name that is nil is not on the wire.
func NewStatement(et EventType, schema, table *string, cs *render.Charset) *Statement {
	s := &Statement{Event: et, Charset: cs}
	if schema != nil {
		s.names = appendString(s.names, 0x42, *schema)
	}
	if table != nil {
		s.names = appendString(s.names, 0x4a, *table)
	}
	return s
}

// ChunkBytes is the size at which a chunk is handed on.
const ChunkBytes = 64 << 10

// Chunk holds raw events one behind the other with all that a worker needs.
// Whoever holds it owns it; after Transcode it may be reset and filled again.
type Chunk struct {
	Buf    []byte
	Events []Event
}

// Reset empties the chunk and keeps its memory, unless one huge event made it large.
func (c *Chunk) Reset() {
	if cap(c.Buf) > 4*ChunkBytes {
		c.Buf = nil
	}
	c.Buf = c.Buf[:0]
	clear(c.Events)
	c.Events = c.Events[:0]
}

// Full tells whether the chunk should be handed on.
func (c *Chunk) Full() bool { return len(c.Buf) >= ChunkBytes }
