package position

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// GTIDSet is a set of transactions: a MySQL's by server, tag and number, or a
// MariaDB's by the last sequence of each replication domain. The zero value is
// the empty set of either. It is not safe for use by several goroutines.
type GTIDSet struct {
	sources []gtidSource // of MySQL, ordered by uuid and tag
	domains []MariaGTID  // of MariaDB, ordered by domain
}

// UUID is that of a MySQL server.
type UUID [16]byte

// String is the form that MySQL shows, in lower case.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// GTID is the name of one transaction of a MySQL.
type GTID struct {
	UUID   UUID
	Tag    string // of MySQL 8.3 and later, usually empty
	Number int64  // from 1 on
}

// String is the form that MySQL shows.
func (g GTID) String() string {
	s := g.UUID.String() + ":"
	if g.Tag != "" {
		s += g.Tag + ":"
	}
	return s + strconv.FormatInt(g.Number, 10)
}

// MariaGTID is the name of one transaction of a MariaDB.
type MariaGTID struct {
	Domain, Server uint32
	Sequence       uint64
}

// String is the form that MariaDB shows.
func (g MariaGTID) String() string {
	return strconv.FormatUint(uint64(g.Domain), 10) + "-" + strconv.FormatUint(uint64(g.Server), 10) + "-" + strconv.FormatUint(g.Sequence, 10)
}

// gtidSource is what a set holds of one server and tag.
type gtidSource struct {
	uuid UUID
	tag  string
	runs []gtidRun // not empty, ascending, not touching
	text string    // of the runs; empty when it has to be made
}

// gtidRun are the numbers from first to last.
type gtidRun struct{ first, last int64 }

// Bounds of what is read. MySQL itself allows tags of 32 characters.
const (
	maxGTIDText = 16 << 20
	maxTagBytes = 32
)

// ParseGTIDSet reads a set as MySQL and MariaDB show it: uuid:1-5:8,uuid2:tag:3
// or domain-server-sequence, with commas between. Blanks and line ends do not
// count; an empty text is the empty set.
func ParseGTIDSet(text string) (*GTIDSet, error) {
	if len(text) > maxGTIDText {
		return nil, fmt.Errorf("GTID set of %d bytes", len(text))
	}
	s := &GTIDSet{}
	text = strings.Join(strings.Fields(text), "")
	if text == "" {
		return s, nil
	}
	maria := !strings.Contains(text, ":")
	for part := range strings.SplitSeq(text, ",") {
		var err error
		switch {
		case part == "": // MySQL allows it
		case maria:
			err = s.parseMaria(part)
		default:
			err = s.parseSource(part)
		}
		if err != nil {
			return nil, fmt.Errorf("GTID set: %.80q: %w", part, err)
		}
	}
	return s, nil
}

var errMariaForm = errors.New("domain-server-sequence is expected")

func (s *GTIDSet) parseMaria(part string) error {
	f := strings.Split(part, "-")
	if len(f) != 3 {
		return errMariaForm
	}
	domain, err1 := strconv.ParseUint(f[0], 10, 32)
	server, err2 := strconv.ParseUint(f[1], 10, 32)
	sequence, err3 := strconv.ParseUint(f[2], 10, 64)
	if errors.Join(err1, err2, err3) != nil {
		return errMariaForm
	}
	s.AddMaria(MariaGTID{uint32(domain), uint32(server), sequence})
	return nil
}

func (s *GTIDSet) parseSource(part string) error {
	f := strings.Split(part, ":")
	raw, err := hex.DecodeString(strings.ReplaceAll(f[0], "-", ""))
	if err != nil || len(raw) != len(UUID{}) {
		return errors.New("a uuid is expected first")
	}
	tag, wanted := "", true // that numbers follow
	for _, p := range f[1:] {
		if p != "" && (p[0] < '0' || p[0] > '9') {
			if tag, err = parseTag(p); err != nil {
				return err
			}
			wanted = true
			continue
		}
		run, err := parseRun(p)
		if err != nil {
			return err
		}
		wanted = false
		s.add(UUID(raw), tag, run)
	}
	if wanted {
		return errors.New("numbers are expected behind a uuid or tag")
	}
	return nil
}

func parseTag(text string) (string, error) {
	tag := strings.ToLower(text)
	ok := len(tag) <= maxTagBytes
	for _, c := range []byte(tag) {
		ok = ok && (c == '_' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	}
	if !ok || tag == "" || tag[0] >= '0' && tag[0] <= '9' {
		return "", errors.New("not a tag")
	}
	return tag, nil
}

func parseRun(text string) (gtidRun, error) {
	from, to, both := strings.Cut(text, "-")
	if !both {
		to = from
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	if errors.Join(err1, err2) != nil || first < 1 || last < first || last == math.MaxInt64 {
		return gtidRun{}, errors.New("numbers such as 7 or 1-5 are expected")
	}
	return gtidRun{first, last}, nil
}

func compareSource(a gtidSource, b gtidSource) int {
	return cmp.Or(bytes.Compare(a.uuid[:], b.uuid[:]), strings.Compare(a.tag, b.tag))
}

// Add adds one transaction of a MySQL.
func (s *GTIDSet) Add(g GTID) { s.add(g.UUID, g.Tag, gtidRun{g.Number, g.Number}) }

func (s *GTIDSet) add(uuid UUID, tag string, run gtidRun) {
	i, found := slices.BinarySearchFunc(s.sources, gtidSource{uuid: uuid, tag: tag}, compareSource)
	if !found {
		s.sources = slices.Insert(s.sources, i, gtidSource{uuid: uuid, tag: tag})
	}
	s.sources[i].add(run)
}

func (s *gtidSource) add(run gtidRun) {
	s.text = ""
	if n := len(s.runs); n > 0 && s.runs[n-1].last+1 == run.first { // as transactions come
		s.runs[n-1].last = run.last
		return
	}
	from, _ := slices.BinarySearchFunc(s.runs, run.first-1, func(r gtidRun, n int64) int { return cmp.Compare(r.last, n) })
	to := from
	for ; to < len(s.runs) && s.runs[to].first <= run.last+1; to++ {
		run.first, run.last = min(run.first, s.runs[to].first), max(run.last, s.runs[to].last)
	}
	s.runs = slices.Replace(s.runs, from, to, run)
}

// AddMaria sets the last transaction of its domain.
func (s *GTIDSet) AddMaria(g MariaGTID) {
	i, found := slices.BinarySearchFunc(s.domains, g.Domain, func(d MariaGTID, n uint32) int { return cmp.Compare(d.Domain, n) })
	if !found {
		s.domains = slices.Insert(s.domains, i, g)
	}
	s.domains[i] = g
}

// Names tells whether something of a MySQL's server is in the set.
func (s *GTIDSet) Names(server string) bool {
	for i := range s.sources {
		if s.sources[i].uuid.String() == server {
			return true
		}
	}
	return false
}

// Empty tells whether nothing is in the set.
func (s *GTIDSet) Empty() bool { return len(s.sources) == 0 && len(s.domains) == 0 }

// Clone is a set of its own with the same transactions.
func (s *GTIDSet) Clone() *GTIDSet {
	c := &GTIDSet{sources: slices.Clone(s.sources), domains: slices.Clone(s.domains)}
	for i := range c.sources {
		c.sources[i].runs = slices.Clone(c.sources[i].runs)
	}
	return c
}

// AddAll adds what another set holds. Of a MariaDB's domain the higher sequence counts.
func (s *GTIDSet) AddAll(o *GTIDSet) {
	for _, src := range o.sources {
		for _, r := range src.runs {
			s.add(src.uuid, src.tag, r)
		}
	}
	for _, d := range o.domains {
		if d.Sequence > s.sequence(d.Domain) {
			s.AddMaria(d)
		}
	}
}

func (s *GTIDSet) sequence(domain uint32) uint64 {
	for _, d := range s.domains {
		if d.Domain == domain {
			return d.Sequence
		}
	}
	return 0
}

func (s *GTIDSet) runs(uuid UUID, tag string) []gtidRun {
	i, found := slices.BinarySearchFunc(s.sources, gtidSource{uuid: uuid, tag: tag}, compareSource)
	if !found {
		return nil
	}
	return s.sources[i].runs
}

// HasMaria tells whether the set reaches as far as one transaction of a MariaDB.
func (s *GTIDSet) HasMaria(g MariaGTID) bool { return g.Sequence <= s.sequence(g.Domain) }

// Contains tells whether all of another set is in this one.
func (s *GTIDSet) Contains(o *GTIDSet) bool { return o.Without(s).Empty() }

// Beyond tells whether the set holds, of a server or domain that another set
// names, a later transaction than that one does.
func (s *GTIDSet) Beyond(o *GTIDSet) bool {
	for _, theirs := range o.sources {
		ours := s.runs(theirs.uuid, theirs.tag)
		if n := len(ours); n > 0 && ours[n-1].last > theirs.runs[len(theirs.runs)-1].last {
			return true
		}
	}
	for _, theirs := range o.domains {
		if s.sequence(theirs.Domain) > theirs.Sequence {
			return true
		}
	}
	return false
}

// Without is what this set holds and another one does not.
func (s *GTIDSet) Without(o *GTIDSet) *GTIDSet {
	left := &GTIDSet{}
	for _, src := range s.sources {
		theirs := o.runs(src.uuid, src.tag)
		for _, r := range src.runs {
			for _, t := range theirs {
				if t.last < r.first {
					continue
				}
				if t.first > r.last {
					break
				}
				if t.first > r.first {
					left.add(src.uuid, src.tag, gtidRun{r.first, t.first - 1})
				}
				r.first = t.last + 1
			}
			if r.first <= r.last {
				left.add(src.uuid, src.tag, r)
			}
		}
	}
	for _, d := range s.domains {
		if !o.HasMaria(d) {
			left.AddMaria(d)
		}
	}
	return left
}

// Common is what both sets hold.
func (s *GTIDSet) Common(o *GTIDSet) *GTIDSet {
	if len(s.domains) == 0 {
		return s.Without(s.Without(o))
	}
	c := &GTIDSet{}
	for _, d := range s.domains {
		if theirs := o.sequence(d.Domain); theirs > 0 {
			d.Sequence = min(d.Sequence, theirs)
			c.AddMaria(d)
		}
	}
	return c
}

// String is the form that the servers show, in the order of uuids and tags, or of domains.
func (s *GTIDSet) String() string {
	if len(s.domains) > 0 {
		list := make([]string, len(s.domains))
		for i, d := range s.domains {
			list[i] = d.String()
		}
		return strings.Join(list, ",")
	}
	var b strings.Builder
	for i := range s.sources {
		src := &s.sources[i]
		if src.text == "" {
			src.text = src.runsText()
		}
		switch {
		case i > 0 && s.sources[i-1].uuid == src.uuid:
		case i > 0:
			b.WriteByte(',')
			fallthrough
		default:
			b.WriteString(src.uuid.String())
		}
		if src.tag != "" {
			b.WriteByte(':')
			b.WriteString(src.tag)
		}
		b.WriteString(src.text)
	}
	return b.String()
}

func (s *gtidSource) runsText() string {
	var b []byte
	for _, r := range s.runs {
		b = strconv.AppendInt(append(b, ':'), r.first, 10)
		if r.last > r.first {
			b = strconv.AppendInt(append(b, '-'), r.last, 10)
		}
	}
	return string(b)
}

// taggedForm stands in the first and the last byte of the number of sources when
// each has a tag behind its uuid.
const taggedForm = 1

// Encode is the form of MySQL's PREVIOUS_GTIDS events and of its request for a dump.
func (s *GTIDSet) Encode() []byte {
	tagged := slices.ContainsFunc(s.sources, func(src gtidSource) bool { return src.tag != "" })
	n := uint64(len(s.sources))
	if tagged {
		n = taggedForm<<56 | n<<8 | taggedForm
	}
	b := binary.LittleEndian.AppendUint64(nil, n)
	for _, src := range s.sources {
		b = append(b, src.uuid[:]...)
		if tagged {
			b = append(append(b, byte(len(src.tag)<<1)), src.tag...)
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(len(src.runs)))
		for _, r := range src.runs {
			b = binary.LittleEndian.AppendUint64(b, uint64(r.first))
			b = binary.LittleEndian.AppendUint64(b, uint64(r.last+1))
		}
	}
	return b
}

var errGTIDBytes = errors.New("GTID set in binary form is damaged")

// DecodeGTIDSet reads what Encode writes.
func DecodeGTIDSet(b []byte) (*GTIDSet, error) {
	if len(b) < 8 {
		return nil, errGTIDBytes
	}
	n := binary.LittleEndian.Uint64(b)
	tagged := b[0] == taggedForm && b[7] == taggedForm
	if tagged {
		n = n << 8 >> 16
	}
	b = b[8:]
	s := &GTIDSet{}
	for range n {
		if len(b) < len(UUID{})+1 {
			return nil, errGTIDBytes
		}
		uuid, tag := UUID(b), ""
		b = b[len(uuid):]
		if tagged {
			size := int(b[0] >> 1)
			if b[0]&1 != 0 || size > maxTagBytes || len(b) < 1+size {
				return nil, errGTIDBytes
			}
			if size > 0 {
				var err error
				if tag, err = parseTag(string(b[1 : 1+size])); err != nil {
					return nil, errGTIDBytes
				}
			}
			b = b[1+size:]
		}
		if len(b) < 8 {
			return nil, errGTIDBytes
		}
		runs := binary.LittleEndian.Uint64(b)
		b = b[8:]
		if runs > uint64(len(b)/16) {
			return nil, errGTIDBytes
		}
		for range runs {
			first, end := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
			b = b[16:]
			if first < 1 || end <= first {
				return nil, errGTIDBytes
			}
			s.add(uuid, tag, gtidRun{first, end - 1})
		}
	}
	return s, nil
}

// Had tells whether the set of one place holds all that another one's does; known
// is false when one of them has no set that can be read.
func Had(at, earlier Position) (had, known bool) {
	if at.GTID == "" || earlier.GTID == "" {
		return false, false
	}
	set, err1 := ParseGTIDSet(at.GTID)
	part, err2 := ParseGTIDSet(earlier.GTID)
	if err1 != nil || err2 != nil {
		return false, false
	}
	return set.Contains(part), true
}

// Before tells whether the place a lies before b: by their sets where both have
// one and only one holds the other, so that places of several sources can be
// compared, else by file and offset.
func Before(a, b Position) bool {
	aIn, known := Had(b, a)
	if bIn, _ := Had(a, b); known && aIn != bIn {
		return aIn
	}
	return Compare(a, b) < 0
}
