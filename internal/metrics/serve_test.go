package metrics_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/canald/canald/internal/metrics"
)

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	core, logged := observer.New(zap.InfoLevel)
	m := metrics.New(metrics.Config{Addr: l.Addr().String()}, running("d"), zap.New(core))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	wait(t, func() bool { return logged.FilterMessage("Unable to start prometheus HTTPServer.").Len() == 1 })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool { return logged.FilterMessage("serving metrics and health").Len() == 1 })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	if text := body(t, r); !strings.Contains(text, "canal_instance{") {
		t.Errorf("page %q", text)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func wait(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen")
		}
	}
}

// TestProtected serves TLS and asks for a password.
func TestProtected(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := selfSigned(t, cert, key)
	core, logged := observer.New(zap.InfoLevel)
	m := metrics.New(metrics.Config{Addr: "127.0.0.1:0", CertFile: cert, KeyFile: key, User: "joe", Password: "hunter2"}, running("d"), zap.New(core))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	serving := func() *observer.ObservedLogs { return logged.FilterMessage("serving metrics and health") }
	wait(t, func() bool { return serving().Len() == 1 })
	addr := serving().All()[0].ContextMap()["addr"].(string)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for password, want := range map[string]int{"hunter2": 200, "hunter": 401, "": 401} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			r.SetBasicAuth("joe", password)
		}
		got, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if body(t, got); got.StatusCode != want {
			t.Errorf("password %q: %d, want %d", password, got.StatusCode, want)
		}
	}
	cancel()
	<-done
}

func selfSigned(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool.AppendCertsFromPEM(text)
	for path, data := range map[string][]byte{certFile: text, keyFile: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

// TestConnectionsAreBounded: who holds all connections makes others wait, and no
// longer than that.
func TestConnectionsAreBounded(t *testing.T) {
	core, logged := observer.New(zap.InfoLevel)
	m := metrics.New(metrics.Config{Addr: "127.0.0.1:0"}, running("d"), zap.New(core))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	serving := logged.FilterMessage("serving metrics and health")
	wait(t, func() bool { serving = logged.FilterMessage("serving metrics and health"); return serving.Len() == 1 })
	addr := serving.All()[0].ContextMap()["addr"].(string)
	const most = 64
	var held []net.Conn
	for range most {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		// An answer shows that the connection was accepted.
		if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	impatient, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	r, err := http.NewRequestWithContext(impatient, http.MethodGet, "http://"+addr+"/livez", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.Do(r); err == nil {
		_ = got.Body.Close()
		t.Errorf("connection %d was served", most+1)
	}
	for _, c := range held {
		_ = c.Close()
	}
	got, err := client.Get("http://" + addr + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	if text := body(t, got); text != "ok\n" {
		t.Errorf("%q", text)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
