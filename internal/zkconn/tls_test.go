package zkconn_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/canald/canald/internal/zkconn"
)

func TestTLSFiles(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		tls  zkconn.TLS
		want string
	}{
		"no such authorities":     {zkconn.TLS{CAFile: filepath.Join(dir, "none")}, "no such file"},
		"no authorities":          {zkconn.TLS{CAFile: empty}, "holds no certificate"},
		"no such certificate":     {zkconn.TLS{CertFile: filepath.Join(dir, "none"), KeyFile: empty}, "no such file"},
		"certificate without one": {zkconn.TLS{CertFile: empty, KeyFile: empty}, empty},
	} {
		if _, err := c.tls.Config(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if c, err := new(zkconn.TLS).Config(); err != nil || c.InsecureSkipVerify {
		t.Errorf("%+v, %v", c, err)
	}
}
