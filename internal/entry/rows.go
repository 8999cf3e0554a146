package entry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/render"
)

// Tags of the repeated columns of a RowData message.
const (
	tagBefore byte = 0x0a
	tagAfter  byte = 0x12
)

// cell is one column of a row image.
type cell struct {
	raw     []byte // the value's bytes; nil for NULL and for an absent column
	present bool
	null    bool
	partial bool // raw is a JSON diff, not a document

	// where the finished column lies in the segment: all of it, and its value
	from, to       int
	value, valueTo int
}

// rowState is a worker's scratch for row events.
type rowState struct {
	before, after []cell
	first, second []int // columns of the images, in order
	prefix        int   // length of the last entry's bytes before its rows, a guess for the next
}

// inet4Bytes is the size of an INET4; the others are INET6.
const inet4Bytes = 4

// errImage is what a row image that ends inside a value gives.
var errImage = errors.New("row image ends inside a value")

func (w *Worker) rowsEvent(b []byte, e *Event, raw []byte) ([]byte, error) {
	kind, version, compressed := e.Header.Type.Rows()
	rh, err := event.ParseRowsHeader(raw, version, kind == event.Update)
	if err != nil {
		return b, err
	}
	c := e.Codec
	if rh.Columns != len(c.columns) {
		return b, fmt.Errorf("row event of %d columns for a table map of %d", rh.Columns, len(c.columns))
	}
	images := raw[rh.Images:]
	if compressed {
		if w.plain, err = render.InflateEvent(w.plain[:0], images, maxInflatedBytes); err != nil {
			return b, err
		}
		images = w.plain
	}
	et := EventInsert
	switch kind {
	case event.Update:
		et = EventUpdate
	case event.Delete:
		et = EventDelete
	}
	s := &w.rows
	s.first = presentColumns(s.first[:0], rh.Before, len(c.columns))
	if kind == event.Update {
		s.second = presentColumns(s.second[:0], rh.After, len(c.columns))
		s.reset(len(c.columns))
	}
	start := len(b)
	gap := w.rows.prefix
	b = reserve(b, gap)
	rows := 0
	for len(images) > 0 {
		at := len(b)
		b = append(b, 0x62, 0)
		var n int
		counted := true
		switch kind {
		case event.Insert:
			b, n, err = w.oneImage(b, c, images, tagAfter, 1)
		case event.Delete:
			b, n, err = w.oneImage(b, c, images, tagBefore, 0)
		default:
			b, n, counted, err = w.twoImages(b, c, images, e.Header.Type == event.TypePartialUpdateRows)
		}
		if err == nil && len(b) > w.most {
			err = errTooLarge // now, not only once a hostile event has filled the memory
		}
		if err != nil {
			return b, fmt.Errorf("row %d: %w", rows+1, err)
		}
		if n == 0 { // an image without any column takes no bytes
			return b, fmt.Errorf("row %d: empty image", rows+1)
		}
		b = settle(b, at+1, 1)
		images = images[n:]
		if counted {
			rows++
		}
	}
	return w.finishRows(b, e, et, start, gap, rows), nil
}

// finishRows writes what stands before the rows, now that their number and size are known.
func (w *Worker) finishRows(b []byte, e *Event, et EventType, start, gap, rows int) []byte {
	c := e.Codec
	body := len(b) - start - gap
	head := len(c.tableID) + 4
	p := appendHeader(w.prefix[:0], e, c.header, et, rows)
	p = append(p, 0x10, byte(RowData), 0x1a)
	p = appendVarint(p, uint64(head+body))
	p = append(p, c.tableID...)
	p = append(p, 0x10, byte(et), 0x50, 0)
	w.prefix = p
	frame := 1 + varintLen(uint64(len(p)+body))
	if need := frame + len(p); need != gap {
		b = shift(b, start+gap, need-gap)
		w.rows.prefix = need
	}
	b[start] = 0x12
	putVarint(b[start+1:], uint64(len(p)+body))
	copy(b[start+frame:], p)
	it := w.item(e, RowData, et, start, len(b))
	it.Table, it.Rows = c.Name, uint32(rows)
	return b
}

// reserve appends n bytes whose content does not matter yet.
func reserve(b []byte, n int) []byte {
	for n > len(zeros) {
		b = append(b, zeros[:]...)
		n -= len(zeros)
	}
	return append(b, zeros[:n]...)
}

func bit(m []byte, i int) bool { return m[i>>3]&(1<<(i&7)) != 0 }

// presentColumns appends the numbers of the columns that an image's bitmap names.
func presentColumns(list []int, bitmap []byte, columns int) []int {
	for i := range columns {
		if bit(bitmap, i) {
			list = append(list, i)
		}
	}
	return list
}

// reset makes every cell absent.
func (s *rowState) reset(columns int) {
	if len(s.before) < columns {
		s.before, s.after = make([]cell, columns), make([]cell, columns)
		return
	}
	clear(s.before)
	clear(s.after)
}

// oneImage renders the image of an insert or a delete and returns its size.
func (w *Worker) oneImage(b []byte, c *Codec, image []byte, tag, updated byte) ([]byte, int, error) {
	p := (len(w.rows.first) + 7) / 8
	if len(image) < p {
		return b, 0, errImage
	}
	nulls := image[:p]
	for k, i := range w.rows.first {
		col := &c.columns[i]
		if bit(nulls, k) {
			if !col.hidden {
				b = appendNull(b, col, tag, updated&col.changes)
			}
			continue
		}
		skip, n := valueSize(col, image[p:])
		if n < 0 {
			return b, 0, fmt.Errorf("column %d (%s): %w", i, c.names[i], errImage)
		}
		p += skip
		if col.hidden {
			p += n
			continue
		}
		b, _ = w.appendColumn(b, c, col, i, tag, updated&col.changes, image[p:p+n], false)
		p += n
	}
	return b, p, nil
}

// twoImages renders both images of an update. Columns whose raw bytes are equal
// are rendered once. complete is false when the second image is missing.
func (w *Worker) twoImages(b []byte, c *Codec, images []byte, partial bool) (_ []byte, n int, complete bool, err error) {
	s := &w.rows
	n, err = split(c, images, s.first, s.before, nil)
	if err != nil {
		return b, 0, false, fmt.Errorf("before image: %w", err)
	}
	for _, i := range s.first {
		cl, col := &s.before[i], &c.columns[i]
		if col.hidden {
			continue
		}
		cl.from = len(b)
		if cl.null {
			b = appendNull(b, col, tagBefore, 0)
		} else {
			b, cl.value = w.appendColumn(b, c, col, i, tagBefore, 0, cl.raw, false)
			cl.valueTo = len(b) - len(col.tail)
		}
		cl.to = len(b)
	}
	if len(images) == n {
		return b, n, false, nil
	}
	after := images[n:]
	used := 0
	var diffs []byte
	if partial {
		if used, diffs, err = partialBits(c, after); err != nil {
			return b, 0, false, err
		}
		after = after[used:]
	}
	m, err := split(c, after, s.second, s.after, diffs)
	if err != nil {
		return b, 0, false, fmt.Errorf("after image: %w", err)
	}
	for _, i := range s.second {
		if !c.columns[i].hidden {
			b = w.afterColumn(b, c, i)
		}
	}
	return b, n + used + m, true, nil
}

// afterColumn appends column i of an after image; its before column, if it has
// one, is finished and lies in b.
func (w *Worker) afterColumn(b []byte, c *Codec, i int) []byte {
	before, after, col := &w.rows.before[i], &w.rows.after[i], &c.columns[i]
	if before.present && !after.partial && before.null == after.null && bytes.Equal(before.raw, after.raw) {
		at := len(b)
		b = append(b, b[before.from:before.to]...)
		b[at] = tagAfter
		return b
	}
	if after.null {
		return appendNull(b, col, tagAfter, col.changes)
	}
	at := len(b)
	b, value := w.appendColumn(b, c, col, i, tagAfter, col.changes, after.raw, after.partial)
	if before.present && !before.null && bytes.Equal(b[before.value:before.valueTo], b[value:len(b)-len(col.tail)]) {
		// Other bytes, same text: Canal compares the text.
		b[updatedAt(b, at, col)] = 0
	}
	return b
}

// updatedAt is where the updated flag of the column that starts at `at` lies.
func updatedAt(b []byte, at int, col *column) int {
	p := at + 1
	for b[p] >= 0x80 {
		p++
	}
	return p + 1 + len(col.head) + headDelta(b[p+1:], col)
}

// headDelta is how much longer the head in use is than col.head: a widened
// sqlType may take another number of bytes.
func headDelta(b []byte, col *column) int {
	if bytes.HasPrefix(b, col.head) {
		return 0
	}
	return len(col.wide) - len(col.head)
}

// split finds the cells of an image and returns its size.
func split(c *Codec, image []byte, columns []int, cells []cell, diffs []byte) (int, error) {
	p := (len(columns) + 7) / 8
	if len(image) < p {
		return 0, errImage
	}
	nulls := image[:p]
	for k, i := range columns {
		cl, col := &cells[i], &c.columns[i]
		*cl = cell{present: true, null: bit(nulls, k)}
		if col.json && diffs != nil {
			cl.partial = bit(diffs, col.a) && !cl.null
		}
		if cl.null {
			continue
		}
		skip, n := valueSize(col, image[p:])
		if n < 0 {
			return 0, fmt.Errorf("column %d (%s): %w", i, c.names[i], errImage)
		}
		p += skip
		cl.raw = image[p : p+n]
		p += n
	}
	return p, nil
}

// partialBits reads what stands before the after image of a PARTIAL_UPDATE_ROWS
// event: the row's value options and, if they say so, a bit that tells a diff
// from a document for each JSON column of the table, in the image or not.
func partialBits(c *Codec, b []byte) (used int, diffs []byte, err error) {
	if len(b) < 1 {
		return 0, nil, errImage
	}
	if b[0]&1 == 0 {
		return 1, nil, nil
	}
	n := (c.json + 7) / 8
	if len(b) < 1+n {
		return 0, nil, errImage
	}
	return 1 + n, b[1 : 1+n : 1+n], nil
}

// valueSize tells how many bytes of length stand first and how many the value
// has; n is negative when the image ends before it.
func valueSize(col *column, b []byte) (skip, n int) {
	switch col.length {
	case lengthFixed:
		n = col.size
	case lengthPrefix1:
		if len(b) < 1 {
			return 0, -1
		}
		skip, n = 1, int(b[0])
	case lengthPrefix2:
		if len(b) < 2 {
			return 0, -1
		}
		skip, n = 2, int(binary.LittleEndian.Uint16(b))
	case lengthPrefix3:
		if len(b) < 3 {
			return 0, -1
		}
		skip, n = 3, int(b[0])|int(b[1])<<8|int(b[2])<<16
	case lengthPrefix4:
		if len(b) < 4 {
			return 0, -1
		}
		skip, n = 4, int(binary.LittleEndian.Uint32(b))
	}
	if len(b)-skip < n {
		return skip, -1
	}
	return skip, n
}

func appendNull(b []byte, col *column, tag, updated byte) []byte {
	b = appendVarint(append(b, tag), uint64(len(col.null)+3+len(col.tail)))
	b = append(b, col.null...)
	b = append(b, updated, 0x30, 1)
	return append(b, col.tail...)
}

// appendColumn appends a whole column with a value and returns where the value
// starts; it ends before the column's tail.
func (w *Worker) appendColumn(b []byte, c *Codec, col *column, i int, tag, updated byte, raw []byte, partial bool) (_ []byte, value int) {
	head := col.head
	if col.value == valueUint && render.Negative(raw) {
		head = col.wide
	}
	guess := 20 // what most fixed values stay below; only its width counts
	if col.length != lengthFixed {
		guess = len(raw)
	}
	// The message's length and the value's length come first; both are guessed
	// by their width and moved in the rare case that the guess is wrong.
	vw := varintLen(uint64(guess))
	fixed := len(head) + 4 + len(col.tail)
	cw := varintLen(uint64(fixed + vw + guess))
	at := len(b)
	updatedPos := at + 1 + cw + len(head)
	value = updatedPos + 4 + vw
	b = slices.Grow(b, value-at+guess+len(col.tail)+16)[:value]
	b[at] = tag
	copy(b[at+1+cw:], head)
	b[updatedPos], b[updatedPos+1], b[updatedPos+2], b[updatedPos+3] = updated, 0x30, 0, 0x42
	b = w.renderValue(b, c, col, i, raw, partial)
	n := len(b) - value
	if need := varintLen(uint64(n)); need != vw {
		b = shift(b, value, need-vw)
		value += need - vw
		vw = need
	}
	putVarint(b[value-vw:], uint64(n))
	b = append(b, col.tail...)
	total := fixed + vw + n
	if need := varintLen(uint64(total)); need != cw {
		b = shift(b, at+1+cw, need-cw)
		value += need - cw
	}
	putVarint(b[at+1:], uint64(total))
	return b, value
}

func (w *Worker) renderValue(b []byte, c *Codec, col *column, i int, raw []byte, partial bool) []byte {
	switch col.value {
	case valueInt:
		return render.Int(b, raw)
	case valueUint:
		return render.Uint(b, raw)
	case valueFloat:
		return render.Float(b, raw)
	case valueDouble:
		return render.Double(b, raw)
	case valueFloatOld:
		return render.OldFloat(b, raw)
	case valueDoubleOld:
		return render.OldDouble(b, raw)
	case valueDecimal:
		return render.Decimal(b, raw, col.a, col.b)
	case valueDecimalFull:
		return render.DecimalFull(b, raw, col.a, col.b)
	case valueBit:
		return render.Bit(b, raw)
	case valueYear:
		return render.Year(b, raw)
	case valueDate:
		return render.Date(b, raw)
	case valueTimeOld:
		return render.TimeOld(b, raw)
	case valueTime2:
		return render.Time2(b, raw, col.a)
	case valueTimeHires:
		return render.TimeHires(b, raw, col.a)
	case valueDatetimeOld:
		return render.DatetimeOld(b, raw)
	case valueDatetime2:
		return render.Datetime2(b, raw, col.a)
	case valueDatetimeHires:
		return render.DatetimeHires(b, raw, col.a)
	case valueTimestampOld:
		return w.zone.TimestampOld(b, raw)
	case valueTimestamp2:
		return w.zone.Timestamp2(b, raw, col.a)
	case valueTimestampHires:
		return w.zone.TimestampHires(b, raw, col.a)
	case valueEnum:
		return render.Enum(b, raw)
	case valueEnumName:
		return w.enumName(b, col, raw)
	case valueSetNames:
		return w.setNames(b, col, raw)
	case valueSet:
		return render.Set(b, raw)
	case valueUTF8:
		return render.UTF8(b, raw)
	case valueText:
		return col.charset.Append(b, raw)
	case valueBinary:
		return render.Latin1(b, raw)
	case valuePadded:
		return pad(render.Latin1(b, raw), col.a-len(raw))
	case valueUUID:
		return render.UUID(b, raw)
	case valueInet:
		if col.a == inet4Bytes {
			return render.INET4(b, raw)
		}
		return render.INET6(b, raw)
	case valueJSON:
		return w.renderJSON(b, c, i, raw, partial)
	case valueInflateText, valueInflateBinary:
		plain, err := render.Inflate(nil, raw, maxInflatedBytes)
		if err != nil {
			plain = raw // what is stored, rather than a stop
		}
		if col.value == valueInflateText {
			return c.style.Charset.Append(b, plain)
		}
		return render.Latin1(b, plain)
	case valueNull:
	}
	return b
}

func (w *Worker) renderJSON(b []byte, c *Codec, i int, raw []byte, partial bool) []byte {
	if !partial {
		return render.JSON(b, raw, c.style)
	}
	if before := &w.rows.before[i]; c.whole && before.present && !before.null {
		if out, ok := render.JSONApply(b, before.raw, raw, c.style); ok {
			return out
		}
	}
	if len(raw) == 0 {
		return b // an unchanged column; Canal sends an empty value
	}
	if out, ok := render.JSONDiff(b, raw, c.names[i], c.style); ok {
		return out
	}
	return render.JSON(b, raw, c.style)
}
