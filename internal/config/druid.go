package config

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
)

// Bounds of keys and of cipher texts: Druid's tool makes keys of 512 bits.
const (
	maxKeyBits     = 16 << 10
	maxCipherBytes = maxKeyBits / 8
)

// password is the password at the source, decrypted if the file says so.
func (r *reader) password() string {
	v := r.value(keyDBPassword)
	if !r.boolean(keyDruid) {
		return v.text
	}
	public := r.value(keyPublicKey)
	key, err := druidKey(public.text)
	if err != nil {
		r.fail(value{property: public.property, key: keyPublicKey, secret: true}, "Failed to get public key: "+err.Error())
		return ""
	}
	plain, err := druidDecrypt(key, v.text)
	if err != nil {
		r.fail(v, err.Error())
		return ""
	}
	return plain
}

// druidKey reads the key that Druid's ConfigTools prints: an RSA key as X.509
// SubjectPublicKeyInfo, base64. The standard library refuses to use one so
// short, and has no decryption with a public key; the arithmetic is below.
func druidKey(text string) (*rsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, errors.New("it is not base64")
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("it is no X.509 public key")
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok || key.N.BitLen() > maxKeyBits || key.N.BitLen() < 8*11 {
		return nil, errors.New("it is no RSA key of a usable size")
	}
	return key, nil
}

// druidDecrypt takes off what was put on with the private key: a block of
// PKCS #1 v1.5 of type 1, 00 01 FF…FF 00 and the text.
func druidDecrypt(key *rsa.PublicKey, text string) (string, error) {
	text = strings.Join(strings.Fields(text), "")
	if len(text)%4 != 0 {
		return "", errors.New("String length must be a multiple of four: the encrypted password is not base64")
	}
	block, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(block) == 0 || len(block) > maxCipherBytes {
		return "", errors.New("the encrypted password is not base64 of one block")
	}
	c := new(big.Int).SetBytes(block)
	if c.Cmp(key.N) >= 0 {
		return "", errors.New("the encrypted password does not belong to this public key")
	}
	size := (key.N.BitLen() + 7) / 8
	m := new(big.Int).Exp(c, big.NewInt(int64(key.E)), key.N).FillBytes(make([]byte, size))
	const least = 8 // bytes of padding
	end := bytes.IndexByte(m[2:], 0)
	if m[0] != 0 || m[1] != 1 || end < least || len(bytes.TrimLeft(m[2:2+end], "\xff")) != 0 {
		return "", errors.New("the encrypted password does not belong to this public key")
	}
	return string(m[2+end+1:]), nil
}
