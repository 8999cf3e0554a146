package render

// MariaDB tables made with mysql56_temporal_format=OFF, and all made before
// 10.1, keep TIME(n), DATETIME(n) and TIMESTAMP(n) with n > 0 under the old
// type numbers 11, 12 and 7, but as a big-endian count in units of 10^-n s.
// Their table map says nothing of n: it has to come from the column's
// definition. With n = 0 they are the old types proper. The layout is that of
// MariaDB's Field_time_hires, Field_datetime_hires and Field_timestamp_hires.

var (
	timeHiresBytes      = [maxFSP + 1]int{3, 4, 4, 5, 5, 5, 6}
	datetimeHiresBytes  = [maxFSP + 1]int{8, 6, 6, 7, 7, 7, 8}
	timestampHiresBytes = [maxFSP + 1]int{4, 5, 5, 6, 6, 7, 7}
)

// timeHiresZero is the bias of TIME in seconds: one above 838:59:59.
const timeHiresZero = 838*3600 + 59*60 + 59 + 1

// TimeHiresLen is the number of bytes of a MariaDB TIME(fsp) under type 11.
func TimeHiresLen(fsp int) int { return timeHiresBytes[clampFSP(fsp)] }

// DatetimeHiresLen is the number of bytes of a MariaDB DATETIME(fsp) under
// type 12.
func DatetimeHiresLen(fsp int) int { return datetimeHiresBytes[clampFSP(fsp)] }

// TimestampHiresLen is the number of bytes of a MariaDB TIMESTAMP(fsp) under
// type 7.
func TimestampHiresLen(fsp int) int { return timestampHiresBytes[clampFSP(fsp)] }

// TimeHires renders MariaDB's TIME(fsp) under type 11.
func TimeHires(dst, raw []byte, fsp int) []byte {
	fsp = clampFSP(fsp)
	if fsp == 0 {
		return TimeOld(dst, raw)
	}
	unit := int64(powers[fsp])
	v := int64(big(raw, timeHiresBytes[fsp]))
	if len(raw) > 0 {
		v -= timeHiresZero * unit
	}
	if v < 0 {
		v = -v
		dst = append(dst, '-')
	}
	s, fraction := uint64(v/unit), uint64(v%unit)
	dst = appendClock(dst, s/3600, s/60%60, s%60)
	return appendFraction(dst, fraction*uint64(powers[maxFSP-fsp]), fsp)
}

// DatetimeHires renders MariaDB's DATETIME(fsp) under type 12.
func DatetimeHires(dst, raw []byte, fsp int) []byte {
	fsp = clampFSP(fsp)
	if fsp == 0 {
		return DatetimeOld(dst, raw)
	}
	unit := uint64(powers[fsp])
	v := big(raw, datetimeHiresBytes[fsp])
	s, fraction := v/unit, v%unit
	d := s / (24 * 3600)
	dst = append(appendDate(dst, d/32/13, d/32%13, d%32), ' ')
	dst = appendClock(dst, s/3600%24, s/60%60, s%60)
	return appendFraction(dst, fraction*uint64(powers[maxFSP-fsp]), fsp)
}

// TimestampHires renders MariaDB's TIMESTAMP(fsp) under type 7.
func (z *Zone) TimestampHires(dst, raw []byte, fsp int) []byte {
	fsp = clampFSP(fsp)
	if fsp == 0 {
		return z.TimestampOld(dst, raw)
	}
	dst = z.appendSeconds(dst, int64(big(raw, 4)))
	var fraction uint64
	if len(raw) > 4 {
		fraction = big(raw[4:], timestampHiresBytes[fsp]-4)
	}
	return appendFraction(dst, fraction*uint64(powers[maxFSP-fsp]), fsp)
}
