package packet

import "strconv"

// textFieldBytes bounds a field's text: it ends up in an error text, and a
// filter may have the size of a frame.
const textFieldBytes = 64 << 10

// textString is one field of protobuf's text form; empty strings are absent.
// Bytes outside of printable ASCII are octal, as Java's TextFormat has them.
func textString(name, v string) string {
	if v == "" {
		return ""
	}
	b := append([]byte(name), `: "`...)
	for i := range len(v) {
		if len(b) >= textFieldBytes {
			break
		}
		switch c := v[i]; c {
		case '\a':
			b = append(b, `\a`...)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\v':
			b = append(b, `\v`...)
		case '\\', '\'', '"':
			b = append(b, '\\', c)
		default:
			if c >= 0x20 && c <= 0x7e {
				b = append(b, c)
				continue
			}
			b = append(b, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		}
	}
	return string(append(b, "\"\n"...))
}

func textNumber(name string, v int64, present bool) string {
	if !present {
		return ""
	}
	return name + ": " + strconv.FormatInt(v, 10) + "\n"
}
