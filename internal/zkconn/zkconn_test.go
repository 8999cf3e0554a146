package zkconn_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/zkconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseServers(t *testing.T) {
	for _, c := range []struct {
		text, chroot string
		addrs        []string
		wrong        string
	}{
		{text: "a:1", addrs: []string{"a:1"}},
		{text: " a:1 , b ,", addrs: []string{"a:1", "b:2181"}},
		{text: "a:1,b:2/x/y/", addrs: []string{"a:1", "b:2"}, chroot: "/x/y"},
		{text: "a:1/x;b:2,c:3/other", addrs: []string{"a:1", "b:2", "c:3"}, chroot: "/x"},
		{text: "[::1]:5,::1", addrs: []string{"[::1]:5", "[::1]:2181"}},
		{text: "", wrong: "no server"},
		{text: ";a:1", wrong: "no server"},
		{text: "/x", wrong: "no server"},
		{text: "a:0", wrong: "port"},
		{text: "a:99999", wrong: "port"},
		{text: "a:1:2", wrong: "not host:port"},
		{text: "http:1//x", addrs: []string{"http:1"}, chroot: "/x"},
		{text: "a b:1", wrong: "not host:port"},
		{text: "a:1/x//y", wrong: "no path"},
		{text: strings.Repeat("a:1,", 101), wrong: "more than"},
	} {
		t.Run(c.text, func(t *testing.T) {
			s, err := zkconn.ParseServers(c.text)
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("error %v, not one about %q", err, c.wrong)
				}
				return
			}
			if err != nil || !slices.Equal(s.Addrs, c.addrs) || s.Chroot != c.chroot {
				t.Errorf("%+v, %v", s, err)
			}
			again, err := zkconn.ParseServers(s.String())
			if err != nil || again.String() != s.String() || again.Chroot != s.Chroot {
				t.Errorf("%q reads as %+v, %v", s.String(), again, err)
			}
		})
	}
}

func TestBadSessionFile(t *testing.T) {
	for name, text := range map[string]string{
		"empty":      "",
		"no JSON":    "session",
		"no session": `{"servers":"a:1","session":"0","password":"00","timeout_millis":1,"pid":1}`,
		"password":   `{"servers":"a:1","session":"1","password":"0g","timeout_millis":1,"pid":1}`,
		"timeout":    `{"servers":"a:1","session":"1","password":"00","timeout_millis":-1,"pid":1}`,
		"process":    `{"servers":"a:1","session":"1","password":"00","timeout_millis":1,"pid":0}`,
		"servers":    `{"servers":"","session":"1","password":"00","timeout_millis":1,"pid":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "session")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := zkconn.CloseDead(t.Context(), file, nil); err == nil || !strings.Contains(err.Error(), "session file") {
				t.Errorf("error %v", err)
			}
			if _, err := os.Stat(file); err != nil {
				t.Error("the file is gone:", err)
			}
		})
	}
}

func TestWithoutContact(t *testing.T) {
	c := zkconn.New(zkconn.Config{}, zap.NewNop())
	if _, err := c.Get(t.Context(), "/"); !errors.Is(err, zkconn.ErrNotConnected) || !zkconn.Lost(err) {
		t.Errorf("get: %v", err)
	}
	if at := c.Contact(); at.Session != 0 || !at.At.IsZero() {
		t.Errorf("contact %+v", at)
	}
	if s, _ := c.Session(); s.ID != 0 || s.Connected || time.Since(s.Since) > time.Minute {
		t.Errorf("session %+v", s)
	}
}

func FuzzServers(f *testing.F) {
	f.Add("a:1,b:2/x;c")
	f.Add("[::1]:1/a/b")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := zkconn.ParseServers(text)
		if err != nil {
			return
		}
		again, err := zkconn.ParseServers(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%q is written as %q, which reads as %q, %v", text, s, again, err)
		}
	})
}
