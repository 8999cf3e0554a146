package render

import (
	"math"
	"sort"
	"time"
)

const (
	daySeconds   = 24 * 3600
	maxTimestamp = math.MaxUint32 // MariaDB 11.5 uses all 32 bits; MySQL stops at 2^31
	dateLen      = len("2006-01-02")
)

// Zone renders TIMESTAMP values in a time zone, daylight saving included. It
// remembers the last offset and day, so it belongs to one worker at a time;
// Clone gives each its own.
type Zone struct {
	spans []zoneSpan // shared between clones, never changed
	last  zoneSpan

	day     int64 // days since 1970 that dayText is of
	dayText [dateLen]byte
}

// zoneSpan is a stretch of UTC seconds, [from, to), with one offset.
type zoneSpan struct{ from, to, offset int64 }

// NewZone prepares the conversion to loc; nil means the process's zone, as
// Java uses its own. All changes of offset up to 2106 are looked up here.
func NewZone(loc *time.Location) *Zone {
	if loc == nil {
		loc = time.Local
	}
	offsetAt := func(sec int64) int64 {
		_, offset := time.Unix(sec, 0).In(loc).Zone()
		return int64(offset)
	}
	// Time.ZoneBounds would be the short way, but where daylight saving is
	// half an hour (Australia/Lord_Howe) it contradicts Time.Zone.
	span := zoneSpan{to: math.MaxInt64, offset: offsetAt(0)}
	z := &Zone{day: math.MinInt64}
	for at := int64(0); at < maxTimestamp; {
		next := min(at+daySeconds, maxTimestamp)
		offset := offsetAt(next)
		if offset != span.offset {
			change := at + int64(sort.Search(int(next-at), func(i int) bool {
				return offsetAt(at+int64(i)) != span.offset
			}))
			span.to = change
			z.spans = append(z.spans, span)
			span = zoneSpan{from: change, to: math.MaxInt64, offset: offset}
		}
		at = next
	}
	z.spans = append(z.spans, span)
	z.last = z.spans[0]
	return z
}

// Clone gives a Zone of the same time zone for another worker.
func (z *Zone) Clone() *Zone {
	return &Zone{spans: z.spans, last: z.spans[0], day: math.MinInt64}
}

// TimestampOld renders type 7: 4 bytes little-endian, seconds since 1970.
func (z *Zone) TimestampOld(dst, raw []byte) []byte {
	return z.appendSeconds(dst, int64(little(raw[:min(len(raw), 4)])))
}

// Timestamp2 renders type 17: 4 bytes big-endian and the fraction.
func (z *Zone) Timestamp2(dst, raw []byte, fsp int) []byte {
	fsp = clampFSP(fsp)
	dst = z.appendSeconds(dst, int64(big(raw, 4)))
	return appendFraction(dst, fractionAt(raw, 4, TemporalFractionLen(fsp)), fsp)
}

// appendSeconds writes a time of 0 <= sec <= maxTimestamp.
func (z *Zone) appendSeconds(dst []byte, sec int64) []byte {
	if sec == 0 {
		return append(dst, "0000-00-00 00:00:00"...)
	}
	if sec < z.last.from || sec >= z.last.to {
		i := sort.Search(len(z.spans), func(i int) bool { return z.spans[i].to > sec })
		z.last = z.spans[i]
	}
	local := sec + z.last.offset
	day := local / daySeconds
	if local < 0 {
		day = -1 // west of Greenwich on the first of January 1970
	}
	if day != z.day {
		y, m, d := civil(day)
		appendDate(z.dayText[:0], y, m, d)
		z.day = day
	}
	s := uint64(local - day*daySeconds)
	dst = append(append(dst, z.dayText[:]...), ' ')
	return appendClock(dst, s/3600, s/60%60, s%60)
}

// civil turns days since 1970 into a date of the Gregorian calendar, counting
// in eras of 400 years (146097 days) that begin on the first of March.
func civil(day int64) (year, month, dom uint64) {
	z := uint64(day + 719468) // days from 0000-03-01 to 1970-01-01
	era := z / 146097
	doe := z % 146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	dom = doy - (153*mp+2)/5 + 1
	month = mp + 3
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, dom
}
