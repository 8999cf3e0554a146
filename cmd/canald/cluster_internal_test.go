package main

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/canald/canald/internal/config"
)

func TestRegisteredAddress(t *testing.T) {
	for _, c := range []struct{ name, listen, register, want string }{
		{"both", "10.0.0.1:11111", "db.example", "db.example:11111"},
		{"canal.ip", "10.0.0.1:11111", "", "10.0.0.1:11111"},
		{"canal.register.ip", ":11111", "10.0.0.2", "10.0.0.2:11111"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := registeredAddress(&config.Config{Listen: c.listen, RegisterIP: c.register}, "11111")
			if err != nil || got != c.want {
				t.Errorf("%q, %v, not %q", got, err, c.want)
			}
		})
	}
	for _, listen := range []string{":11111", "0.0.0.0:11111"} {
		if got, err := registeredAddress(&config.Config{Listen: listen}, "11111"); err == nil {
			host, _, err := net.SplitHostPort(got)
			if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsLoopback() || ip.IsUnspecified() {
				t.Errorf("%s is registered as %q", listen, got)
			}
		}
	}
}

// A start waits for close-session, and for nobody else.
func TestLockServer(t *testing.T) {
	for _, c := range []struct {
		name, mark string
		waits      bool
	}{{"a server", "", false}, {"close-session", closingMark, true}, {"close-session that has not said so yet", "late", true}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			held, err := lockHome(dir)
			if err != nil {
				t.Fatal(err)
			}
			if c.mark == "late" {
				time.AfterFunc(markWithin/2, func() { _, _ = held.WriteString(closingMark) })
			} else if _, err := held.WriteString(c.mark); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(markWithin+4*lockRetry, func() { _ = held.Close() })
			lock, err := lockServer(dir)
			if !c.waits {
				if !errors.Is(err, errLocked) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
			if mark, err := os.ReadFile(lockPath(dir)); err != nil || len(mark) > 0 {
				t.Errorf("the mark %q is left, %v", mark, err)
			}
		})
	}
}
