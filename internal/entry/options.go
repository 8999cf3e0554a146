package entry

import (
	"bytes"
	"encoding/binary"

	"github.com/canald/canald/internal/render"
)

// fullDecimal adds the zeros that Canal leaves out at the end of a fraction.
func fullDecimal(b []byte, from, scale int) []byte {
	if scale == 0 {
		return b
	}
	digits := len(b) - from - 1 - bytes.IndexByte(b[from:], '.')
	for ; digits < scale; digits++ {
		b = append(b, '0')
	}
	return b
}

// enumName writes a member by its number, which counts from 1; the number 0 is
// the empty text of a value that was refused.
func (w *Worker) enumName(b []byte, col *column, raw []byte) []byte {
	n := int(littleEndian(raw))
	if n == 0 {
		return b
	}
	if n > len(col.members) {
		return render.Enum(b, raw)
	}
	return w.charset.Append(b, col.members[n-1])
}

// setNames writes the members whose bits are set, with commas between them.
func (w *Worker) setNames(b []byte, col *column, raw []byte) []byte {
	bits := littleEndian(raw)
	if len(col.members) < 64 && bits>>len(col.members) != 0 {
		return render.Set(b, raw)
	}
	first := true
	for i, m := range col.members {
		if bits&(1<<i) == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = w.charset.Append(b, m)
	}
	return b
}

func littleEndian(raw []byte) uint64 {
	var b [8]byte
	copy(b[:], raw)
	return binary.LittleEndian.Uint64(b[:])
}

// splitMembers reads the quoted texts of an ENUM's or SET's list.
func splitMembers(args string) [][]byte {
	var list [][]byte
	var m []byte
	inside := false
	for i := 0; i < len(args); i++ {
		c := args[i]
		switch {
		case !inside:
			if inside = c == '\''; inside {
				m = []byte{}
			}
		case c == '\'' && i+1 < len(args) && args[i+1] == '\'', c == '\\' && i+1 < len(args):
			i++
			m = append(m, args[i])
		case c == '\'':
			inside = false
			list = append(list, m)
		default:
			m = append(m, c)
		}
	}
	return list
}
