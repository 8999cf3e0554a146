package metrics

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// broken is a port that fails while it is served.
type broken struct{ net.Listener }

var errBroken = errors.New("broken")

func (broken) Accept() (net.Conn, error) { return nil, errBroken }
func (broken) Close() error              { return nil }
func (broken) Addr() net.Addr            { return &net.TCPAddr{} }

func TestPortFails(t *testing.T) {
	m := New(Config{}, func() []Destination { return nil }, zap.NewNop())
	if err := m.serve(t.Context(), broken{}); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
}

// TestCertificateIsReadAgain: a new file is used some seconds later, a bad one never.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	c := &certificate{certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	if _, err := c.get(nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	write := func(serial int64, at time.Time) {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(serial)}, &x509.Certificate{SerialNumber: big.NewInt(serial)}, public, private)
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		put(t, c.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), at)
		put(t, c.certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), at)
	}
	serial := func() int64 {
		t.Helper()
		got, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(got.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	synctest.Test(t, func(*testing.T) {
		began := time.Now()
		write(1, began)
		if got := serial(); got != 1 {
			t.Errorf("certificate %d, want 1", got)
		}
		write(2, began.Add(time.Second))
		if got := serial(); got != 1 {
			t.Errorf("certificate %d a moment later, want 1", got)
		}
		time.Sleep(time.Minute)
		if got := serial(); got != 2 {
			t.Errorf("certificate %d a minute later, want 2", got)
		}
		put(t, c.certFile, []byte("half a cert"), began.Add(2*time.Second))
		time.Sleep(time.Minute)
		if got := serial(); got != 2 {
			t.Errorf("certificate %d after a bad file, want 2", got)
		}
		write(3, began.Add(3*time.Second))
		time.Sleep(time.Minute)
		if got := serial(); got != 3 {
			t.Errorf("certificate %d after it was mended, want 3", got)
		}
	})
}

func put(t *testing.T, path string, data []byte, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}
