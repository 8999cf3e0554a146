package render

import "net/netip"

const (
	uuidBytes  = 16
	inet6Bytes = 16
	inet4Bytes = 4
)

// UUID renders MariaDB's UUID in its canonical lower-case form. Tables keep
// most UUIDs with their parts in another order, but the server writes them to
// the binlog in the order of the text (Field_uuid::pack), without the zero
// bytes at the end.
func UUID(dst, raw []byte) []byte {
	var b [uuidBytes]byte
	copy(b[:], raw)
	for i, v := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[v>>4], hexDigits[v&15])
	}
	return dst
}

// INET4 renders MariaDB's INET4 in dotted form.
func INET4(dst, raw []byte) []byte {
	var b [inet4Bytes]byte
	copy(b[:], raw)
	return netip.AddrFrom4(b).AppendTo(dst)
}

// INET6 renders MariaDB's INET6 as the server does: the longest run of zero
// groups as ::, and addresses that hold an IPv4 one in dotted form.
func INET6(dst, raw []byte) []byte {
	var b [inet6Bytes]byte
	copy(b[:], raw)
	if [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0) {
		return netip.AddrFrom4([4]byte(b[12:])).AppendTo(append(dst, "::"...))
	}
	return netip.AddrFrom16(b).AppendTo(dst)
}
