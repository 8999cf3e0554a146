package packet

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
)

// SeedBytes is the length of a handshake's seed.
const SeedBytes = 8

// Token is what a client sends as password: hex text of
// SHA1(seed + SHA1(SHA1(password))) XOR SHA1(password).
func Token(password string, seed []byte) []byte {
	stage1 := sha1.Sum([]byte(password))
	stage2 := sha1.Sum(stage1[:])
	mask := sha1.Sum(append(append([]byte(nil), seed...), stage2[:]...))
	subtle.XORBytes(mask[:], mask[:], stage1[:])
	return hex.AppendEncode(nil, mask[:])
}

// CheckToken tells whether token was made from the password whose
// SHA1(SHA1(password)) is stored. A token that is not hex text of 20 bytes is
// wrong; a missing leading zero is forgiven, as Java's decoder does.
func CheckToken(token, seed []byte, stored [sha1.Size]byte) bool {
	if len(token)%2 == 1 && len(token) < 2*sha1.Size {
		token = append([]byte{'0'}, token...)
	}
	if len(token) != 2*sha1.Size {
		return false
	}
	var candidate [sha1.Size]byte
	if _, err := hex.Decode(candidate[:], token); err != nil {
		return false
	}
	mask := sha1.Sum(append(append([]byte(nil), seed...), stored[:]...))
	subtle.XORBytes(candidate[:], candidate[:], mask[:])
	got := sha1.Sum(candidate[:])
	return subtle.ConstantTimeCompare(got[:], stored[:]) == 1
}
