package install

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	packageVersion = "0.0.0+test"
	buildLimit     = 5 * time.Minute
)

// packaged builds the archive and the Debian package in a copy of dist that is
// the test's own.
func packaged(t *testing.T, script string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join("..", "..", "deploy", "package", script), args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// TestArchive unpacks the archive and starts what is in it, without anything of Go's.
func TestArchive(t *testing.T) {
	path := filepath.Join("..", "..", "dist", "canald-"+packageVersion+"-linux-amd64.tar.gz")
	packaged(t, "dist.sh", packageVersion, "amd64")
	t.Cleanup(func() { _ = os.Remove(path) })
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	found := map[string]bool{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || !filepath.IsLocal(h.Name) {
			t.Errorf("%s of %d:%d", h.Name, h.Uid, h.Gid)
		}
		found[h.Name] = true
		to := filepath.Join(dir, h.Name)
		if h.FileInfo().IsDir() {
			if err := os.MkdirAll(to, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, raw, h.FileInfo().Mode()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"bin/canald", "bin/startup.sh", "bin/stop.sh", "bin/restart.sh", "conf/canal.properties", "conf/canal_local.properties",
		"conf/example/instance.properties", "logs/", "LICENSE", "docs/sbom.cdx.json", "deploy/systemd/canald.service", "deploy/grafana/canald.json",
	} {
		if !found[name] {
			t.Errorf("%s is missing", name)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "docs", "sbom.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sbom struct {
		BomFormat  string
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(raw, &sbom); err != nil || sbom.BomFormat != "CycloneDX" || len(sbom.Components) < 10 {
		t.Errorf("SBOM: %v, %d components", err, len(sbom.Components))
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "bin", "canald"), "config", "check")
	cmd.Env = []string{"PATH=/nowhere"}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "no problem in the main file and 1 instances") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "bin", "canald"), "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "canald "+packageVersion+" ") {
		t.Errorf("%v %s", err, out)
	}
}

// TestDebianPackage looks at what the package holds and lets systemd judge the unit.
func TestDebianPackage(t *testing.T) {
	deb := filepath.Join("..", "..", "dist", "canald_"+packageVersion+"_amd64.deb")
	archive := filepath.Join("..", "..", "dist", "canald-"+packageVersion+"-linux-amd64.tar.gz")
	packaged(t, "deb.sh", packageVersion, "amd64")
	t.Cleanup(func() {
		_ = os.Remove(deb)
		_ = os.Remove(archive)
	})
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "-R", deb, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for path, mode := range map[string]os.FileMode{
		"usr/bin/canald": 0o755, "etc/canald/canal.properties": 0o644, "lib/systemd/system/canald.service": 0o644, "DEBIAN/postinst": 0o755,
	} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	files, err := os.ReadFile(filepath.Join(dir, "DEBIAN", "conffiles"))
	if err != nil || !strings.Contains(string(files), "/etc/canald/example/instance.properties\n") {
		t.Errorf("conffiles: %v\n%s", err, files)
	}
	// Scripts of the package must at least be scripts.
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", filepath.Join(dir, "DEBIAN", script)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
	verify := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--root="+dir, "--man=no", "--recursive-errors=no", "canald.service")
	out, err := verify.CombinedOutput()
	if err != nil || strings.Contains(string(out), "canald.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
