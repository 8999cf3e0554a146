// Package history keeps the structures of a source's tables as they were at each
// place of its binlog.
//
// Statements of the binlog change them one after the other; each change is
// written, with what was before it, ahead of the rows that follow it. A dump that
// starts further back takes the changes behind its start back first, so a row is
// always decoded with the columns that held when it was written.
//
// A History has one owner and no lock. Its file is open only while it is read or
// written, so that other processes can look into it while a server runs.
package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
)

// Known is a structure and where it comes from.
type Known struct {
	// Table is nil for one that exists, or may exist, and whose columns are not known.
	Table *schema.Table
	// Until is zero for a structure that statements of the binlog made. One that
	// was read from the source is that of the source at this place: statements
	// before it are in it already.
	Until position.Position
	// Since is where the statement stands that made it; zero when it was read.
	Since position.Position
}

// ReadAfter tells whether the structure was read from the source when its binlog
// had gone on beyond a place already.
func (k *Known) ReadAfter(p position.Position) bool {
	return !k.Until.IsZero() && position.Compare(p, k.Until) < 0
}

// Change is what a statement did to one table. A nil side says that there was no
// such table, as far as is known.
type Change struct {
	Name          schema.Name
	Before, After *Known
}

// Record is one statement that changed structures.
type Record struct {
	At        position.Position // where its event starts
	Sub       uint32            // number of the event within its payload
	Statement string            // see Shorten
	Source    string            `json:",omitempty"` // see Begin; only in what is shared
	Changes   []Change
}

// History is the set of structures in force and the way to it.
type History struct {
	path   string
	held   *bolt.DB // of a history without a file; nil otherwise
	keep   Keep
	fold   bool
	tables map[schema.Name]*slot
	size   int    // of records
	seen   string // the last binlog file that was begun
	whole  string // see Complete
	set    map[schema.Name]Setting
	source string // of the last Begin
	shared Shared // nil when nobody else is to know
}

// slot holds a structure as it was written until somebody asks for it.
type slot struct {
	raw   []byte
	known *Known
}

// Keep bounds what is kept of the past.
type Keep struct {
	Records int           // statements; 10000 when it is not positive
	For     time.Duration // by the times of the events; 360 h when it is not positive
}

// Defaults of Keep; the time is canal.instance.tsdb.snapshot.expire's.
const (
	defaultRecords = 10_000
	defaultKeepFor = 360 * time.Hour
)

// FileName is the history's file in the folder of an instance.
const FileName = "structures.db"

// mostStatementBytes is kept of a statement's text.
const mostStatementBytes = 4 << 10

// Shorten is as much of a statement's text as a record keeps.
func Shorten(sql []byte) string {
	if len(sql) <= mostStatementBytes {
		return string(sql)
	}
	const more = " …"
	return strings.ToValidUTF8(string(sql[:mostStatementBytes-len(more)]), "") + more
}

// Names of the file's buckets and of single values in the first one.
var (
	bucketState   = []byte("state")
	bucketTables  = []byte("tables")
	bucketRecords = []byte("statements")
	bucketSet     = []byte("set")
	keySource     = []byte("source")
	keySeen       = []byte("seen")
	keyWhole      = []byte("complete")
)

// Open reads a history's file, which need not exist yet. An empty path makes a
// history that ends with the process.
func Open(path string, keep Keep) (*History, error) {
	if keep.Records <= 0 {
		keep.Records = defaultRecords
	}
	if keep.For <= 0 {
		keep.For = defaultKeepFor
	}
	h := &History{path: path, keep: keep, tables: map[schema.Name]*slot{}}
	if path == "" {
		if err := h.openNameless(); err != nil {
			return nil, err
		}
		return h, nil
	}
	if err := h.load(); err != nil {
		return nil, fmt.Errorf("structure history %s: %w; without it the structures are read from the source as they are now: move the file away to go on so", path, err)
	}
	return h, nil
}

// openNameless opens a file and takes its name away at once.
func (h *History) openNameless() error {
	f, err := os.CreateTemp("", "canald-structures-*")
	if err != nil {
		return fmt.Errorf("structure history: %w", err)
	}
	name := f.Name()
	if err := f.Close(); err != nil {
		return fmt.Errorf("structure history: %w", err)
	}
	h.held, err = bolt.Open(name, fileMode, &bolt.Options{NoSync: true, NoFreelistSync: true})
	_ = os.Remove(name)
	if err != nil {
		return fmt.Errorf("structure history: %w", err)
	}
	return nil
}

// Close gives up what is held.
func (h *History) Close() error {
	if h.held == nil {
		return nil
	}
	return h.held.Close()
}

// File and folder are the instance's own, as meta.dat is.
const (
	fileMode   = 0o644
	folderMode = 0o755
	lockWithin = 5 * time.Second
)

// update runs a transaction that is on disk when it returns. Its errors say what they are about.
func (h *History) update(do func(tx *bolt.Tx) error) error {
	if err := h.write(do); err != nil {
		return fmt.Errorf("structure history: %w", err)
	}
	return nil
}

func (h *History) write(do func(tx *bolt.Tx) error) error {
	if h.held != nil {
		return h.held.Update(do)
	}
	if err := os.MkdirAll(filepath.Dir(h.path), folderMode); err != nil {
		return err
	}
	return h.opened(false, func(db *bolt.DB) error { return db.Update(do) })
}

// view runs a transaction that only reads. A file that is missing is an empty one.
func (h *History) view(do func(tx *bolt.Tx) error) error {
	if h.held != nil {
		return h.held.View(do)
	}
	err := h.opened(true, func(db *bolt.DB) error { return db.View(do) })
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// opened runs something on the open file. The library reads it through memory:
// of a damaged or shortened one that is a panic or a fault, here an error.
func (h *History) opened(readOnly bool, do func(*bolt.DB) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged: %v", p)
		}
	}()
	db, err := bolt.Open(h.path, fileMode, &bolt.Options{Timeout: lockWithin, ReadOnly: readOnly})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := whole(db, h.path); err != nil {
		return err
	}
	return do(db)
}

// whole tells whether all pages of a database lie in its file.
func whole(db *bolt.DB, path string) error {
	return db.View(func(tx *bolt.Tx) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("damaged: cut short to %d of %d bytes", info.Size(), tx.Size())
		}
		return nil
	})
}

// load reads the structures in force.
func (h *History) load() error {
	clear(h.tables)
	h.size, h.seen, h.whole = 0, "", ""
	return h.view(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bucketState); b != nil {
			h.seen, h.whole = string(b.Get(keySeen)), string(b.Get(keyWhole))
		}
		if b := tx.Bucket(bucketRecords); b != nil {
			h.size = b.Stats().KeyN
		}
		if err := h.loadSettings(tx); err != nil {
			return err
		}
		b := tx.Bucket(bucketTables)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, raw []byte) error {
			name, ok := parseKey(k)
			if !ok || !json.Valid(raw) {
				return fmt.Errorf("damaged entry %.100q", k)
			}
			h.tables[name] = &slot{raw: append([]byte(nil), raw...)}
			return nil
		})
	})
}

func tableKey(n schema.Name) []byte { return []byte(n.Schema + "\x00" + n.Table) }

func parseKey(k []byte) (schema.Name, bool) {
	s, t, ok := strings.Cut(string(k), "\x00")
	return schema.Name{Schema: s, Table: t}, ok
}

// Len is the number of tables whose structure is known.
func (h *History) Len() int { return len(h.tables) }

// Fold makes names equal that differ in case only, as they are for a source with
// lower_case_table_names above 0.
func (h *History) Fold(on bool) { h.fold = on }

func (h *History) name(n schema.Name) schema.Name {
	if h.fold {
		return schema.Name{Schema: strings.ToLower(n.Schema), Table: strings.ToLower(n.Table)}
	}
	return n
}

// Get returns the structure in force, or nil when none is known.
func (h *History) Get(n schema.Name) *Known {
	if k := h.state(n); k != nil && k.Table != nil {
		return k
	}
	return nil
}

// Has tells whether there is a table, or may be one.
func (h *History) Has(n schema.Name) bool { return h.state(n) != nil }

func (h *History) state(n schema.Name) *Known {
	s := h.tables[h.name(n)]
	if s == nil {
		return nil
	}
	if s.known == nil {
		k := new(Known)
		if json.Unmarshal(s.raw, k) != nil { // it was valid JSON, but is none of ours
			*k = Known{}
		}
		s.known, s.raw = k, nil
	}
	return s.known
}

// Complete is the name of the filter all of whose tables are known, so that one
// that is missing does not exist; empty when none is.
func (h *History) Complete() string { return h.whole }

// SetComplete notes that the structures of all tables that a filter lets pass are known.
func (h *History) SetComplete(filter string) error {
	if err := h.putState(keyWhole, filter); err != nil {
		return err
	}
	h.whole = filter
	return nil
}

// putState writes a single value.
func (h *History) putState(key []byte, value string) error {
	return h.update(func(tx *bolt.Tx) error {
		state, err := tx.CreateBucketIfNotExists(bucketState)
		if err != nil {
			return err
		}
		return state.Put(key, []byte(value))
	})
}

// Tables lists the tables of a schema whose structure is known.
func (h *History) Tables(schemaName string) []schema.Name {
	schemaName = h.name(schema.Name{Schema: schemaName}).Schema
	var names []schema.Name
	for n := range h.tables {
		if n.Schema == schemaName {
			names = append(names, n)
		}
	}
	return names
}

// Names lists all tables whose structure is known.
func (h *History) Names() []schema.Name {
	names := make([]schema.Name, 0, len(h.tables))
	for n := range h.tables {
		names = append(names, n)
	}
	return names
}

// Learn keeps structures that were read from the source when its binlog ended
// at the given place, or (with a zero place) that somebody set by hand.
func (h *History) Learn(tables []*schema.Table, until position.Position) error {
	if len(tables) == 0 {
		return nil
	}
	changes := make([]Change, 0, len(tables))
	for _, t := range tables {
		changes = append(changes, Change{Name: schema.Name{Schema: t.Schema, Table: t.Name}, After: &Known{Table: t, Until: until}})
	}
	if err := h.update(func(tx *bolt.Tx) error { return h.put(tx, changes) }); err != nil {
		return err
	}
	h.apply(changes)
	return nil
}

// put writes the sides that hold after the changes.
func (h *History) put(tx *bolt.Tx, changes []Change) error {
	b, err := tx.CreateBucketIfNotExists(bucketTables)
	if err != nil {
		return err
	}
	for _, c := range changes {
		key := tableKey(h.name(c.Name))
		if c.After == nil {
			if err := b.Delete(key); err != nil {
				return err
			}
			continue
		}
		raw, err := json.Marshal(c.After)
		if err != nil {
			return err
		}
		if err := b.Put(key, raw); err != nil {
			return fmt.Errorf("table %s.%s: %w", c.Name.Schema, c.Name.Table, err)
		}
	}
	return nil
}

func (h *History) apply(changes []Change) {
	for _, c := range changes {
		if c.After == nil {
			delete(h.tables, h.name(c.Name))
			continue
		}
		h.tables[h.name(c.Name)] = &slot{known: c.After}
	}
}
