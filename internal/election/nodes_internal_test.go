package election

import "testing"

func TestParseRunning(t *testing.T) {
	for _, c := range []struct {
		text   string
		ok     bool
		active bool
		addr   string
	}{
		{`{"active":true,"address":"a:1"}`, true, true, "a:1"},
		{` { "address" : "a:1", "new": [1], "cid": 3, "active": false } `, true, false, "a:1"},
		{`{"address":"a:1"}`, true, true, "a:1"},
		{`{"active":false}`, false, true, ""},
		{`null`, false, true, ""},
		{`"a:1"`, false, true, ""},
		{`{"active":"no","address":"a:1"}`, false, true, ""},
		{``, false, true, ""},
		{`{`, false, true, ""},
	} {
		r, ok := parseRunning([]byte(c.text))
		if ok != c.ok || r.Active != c.active || r.Address != c.addr {
			t.Errorf("%s reads as %+v, %t", c.text, r, ok)
		}
	}
	if _, ok := parseRunning(make([]byte, maxRunningBytes+1)); ok {
		t.Error("a node without bounds is read")
	}
	if text := string(runningData{Active: true, Address: "127.0.0.1:21111"}.encode()); text != `{"active":true,"address":"127.0.0.1:21111"}` {
		t.Errorf("written is %s", text)
	}
}

func TestParseClaim(t *testing.T) {
	own := claim{Session: -5, Epoch: 1 << 40, Released: true}
	if got := parseClaim(own.encode()); got != own {
		t.Errorf("%+v became %+v", own, got)
	}
	for _, text := range []string{"", "{", "1", `{"epoch":"x"}`} {
		if got := parseClaim([]byte(text)); got != (claim{}) {
			t.Errorf("%q reads as %+v", text, got)
		}
	}
}

func FuzzNodes(f *testing.F) {
	f.Add([]byte(`{"active":false,"address":"a:1","cid":1}`))
	f.Add([]byte(`{"session":7,"epoch":9,"released":true}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if r, ok := parseRunning(raw); ok == (r.Address == "") {
			t.Errorf("%+v, %t", r, ok)
		}
		if c := parseClaim(raw); parseClaim(c.encode()) != c {
			t.Errorf("%+v is not read as written", c)
		}
	})
}
