package harness

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// Certs are files of a throw-away authority, and of one server and one client
// that it vouches for; all PEM.
type Certs struct {
	CA         string
	Server     string // key and certificate in one
	Cert, Key  string // of the client
	issuer     *x509.Certificate
	issuerKey  *ecdsa.PrivateKey
	nextSerial int64
}

// NewCerts makes them in a folder that goes with the test. ip is the address that
// the server's certificate is for.
func NewCerts(t testing.TB, ip net.IP) *Certs {
	t.Helper()
	dir := t.TempDir()
	c := &Certs{nextSerial: 1}
	ca, _ := c.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	server, serverKey := c.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{ip}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	client, clientKey := c.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "client"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	file := func(name string, parts ...[]byte) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, string(bytes.Join(parts, nil)))
		return path
	}
	c.CA, c.Server = file("ca.pem", ca), file("server.pem", serverKey, server)
	c.Cert, c.Key = file("client.pem", client), file("client.key", clientKey)
	return c
}

// issue signs a certificate; the first one signs itself, and then all others.
func (c *Certs) issue(t testing.TB, template *x509.Certificate) (cert, key []byte) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(c.nextSerial)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	c.nextSerial++
	if c.issuer == nil {
		c.issuer, c.issuerKey = template, own
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.issuer, &own.PublicKey, c.issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}
