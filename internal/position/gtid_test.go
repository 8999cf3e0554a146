package position_test

import (
	"strings"
	"testing"

	"github.com/canald/canald/internal/position"
)

const (
	u1 = "08b4f78b-e71c-11f1-a7f3-02fc00000001"
	u2 = "fe2a1b00-0000-0000-0000-000000000002"
)

func gtids(tb testing.TB, text string) *position.GTIDSet {
	tb.Helper()
	s, err := position.ParseGTIDSet(text)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestGTIDSetText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "",
		u1 + ":1":                                u1 + ":1",
		u1 + ":1-3:5-7:4":                        u1 + ":1-7",
		u1 + ":5:1-2, \n" + u1 + ":4":            u1 + ":1-2:4-5",
		strings.ToUpper(u1) + ":3":               u1 + ":3",
		strings.ReplaceAll(u1, "-", "") + ":3-9": u1 + ":3-9",
		u2 + ":1," + u1 + ":1-100:90":            u1 + ":1-100," + u2 + ":1",
		u1 + ":1-2:Tag_1:5:b:3-4," + u2 + ":z:1": u1 + ":1-2:b:3-4:tag_1:5," + u2 + ":z:1",
		u1 + ":t:1," + u1 + ":2":                 u1 + ":2:t:1",
		"0-1-5":                                  "0-1-5",
		"1-2-6, 0-1-5,1-3-7":                     "0-1-5,1-3-7",
	} {
		if got := gtids(t, in).String(); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	for _, bad := range []string{
		u1, u1 + ":", u1 + ":0", u1 + ":5-4", u1 + ":1-", u1 + ":-3", u1 + ":tag", u1 + ":1:tag", u1 + ":a-b:1", u1[1:] + ":1", "x:1", u1 + ":9223372036854775807",
		u1 + ":" + strings.Repeat("t", 33) + ":1", "0-1", "0-1-2-3", "a-b-c", "0-1-18446744073709551616", "4294967296-1-1", u1 + ":1,0-1-5",
	} {
		if s, err := position.ParseGTIDSet(bad); err == nil {
			t.Errorf("%q is %q", bad, s)
		}
	}
}

func TestGTIDSetAlgebra(t *testing.T) {
	for _, c := range []struct{ a, b, without, common string }{
		{u1 + ":1-10", u1 + ":3-4:9", u1 + ":1-2:5-8:10", u1 + ":3-4:9"},
		{u1 + ":1-10", u1 + ":1-10", "", u1 + ":1-10"},
		{u1 + ":1-10", u2 + ":1-10", u1 + ":1-10", ""},
		{u1 + ":1-10", u1 + ":t:1-10", u1 + ":1-10", ""},
		{u1 + ":5-7:t:1," + u2 + ":1", u1 + ":1-5:7-9:t:1-2", u1 + ":6," + u2 + ":1", u1 + ":5:7:t:1"},
		{"0-1-5,1-1-7", "0-2-6,1-1-6", "1-1-7", "0-1-5,1-1-6"},
		{"0-1-5", "1-1-9", "0-1-5", ""},
	} {
		a, b := gtids(t, c.a), gtids(t, c.b)
		if got := a.Without(b).String(); got != c.without {
			t.Errorf("%s without %s: %s, want %s", c.a, c.b, got, c.without)
		}
		if got := a.Common(b).String(); got != c.common {
			t.Errorf("%s and %s: %s, want %s", c.a, c.b, got, c.common)
		}
		if got := b.Contains(a); got != (c.without == "") {
			t.Errorf("%s contains %s: %v", c.b, c.a, got)
		}
		all := a.Clone()
		all.AddAll(b)
		if !all.Contains(a) || !all.Contains(b) || a.String() != gtids(t, c.a).String() {
			t.Errorf("%s and %s are %s", c.a, c.b, all)
		}
	}
	s := gtids(t, u1+":1-3:t:7")
	for text, want := range map[string]bool{u1 + ":3": true, u1 + ":4": false, u1 + ":t:7": true, u1 + ":x:7": false, u2 + ":1": false} {
		if got := s.Contains(gtids(t, text)); got != want {
			t.Errorf("%s in %s: %v", text, s, got)
		}
	}
}

func TestGTIDSetBeyond(t *testing.T) {
	for _, c := range []struct {
		s, o string
		want bool
	}{
		{u1 + ":1-7", u1 + ":5", true},
		{u1 + ":1-7", u1 + ":7", false},
		{u1 + ":1-7," + u2 + ":1-9", u1 + ":7", false},
		{u1 + ":1-7:t:2", u1 + ":t:1", true},
		{"0-1-5,1-1-9", "0-2-5", false},
		{"0-1-5,1-1-9", "1-1-8", true},
		{"", u1 + ":1", false},
	} {
		if got := gtids(t, c.s).Beyond(gtids(t, c.o)); got != c.want {
			t.Errorf("%q beyond %q: %v", c.s, c.o, got)
		}
	}
}

func TestGTIDSetBytes(t *testing.T) {
	for _, text := range []string{"", u1 + ":1-5:9", u1 + ":1," + u2 + ":2-3", u1 + ":1:abc:2-3:x:1," + u2 + ":y:5"} {
		b := gtids(t, text).Encode()
		s, err := position.DecodeGTIDSet(b)
		if err != nil || s.String() != text {
			t.Errorf("%q comes back as %q, %v", text, s, err)
		}
		for n := range b {
			if s, err := position.DecodeGTIDSet(b[:n]); err == nil {
				t.Errorf("%d bytes of %q are %q", n, text, s)
			}
		}
	}
}

func TestBefore(t *testing.T) {
	at := func(file string, offset uint64, set string) position.Position {
		return position.Position{File: file, Offset: offset, GTID: set}
	}
	for _, c := range []struct {
		a, b position.Position
		want bool
	}{
		{at("a.000002", 4, u1+":1-5"), at("b.000001", 9, u1+":1-6"), true},
		{at("b.000001", 4, u1+":1-7"), at("b.000009", 9, u1+":1-6"), false},
		{at("a.000001", 4, u1+":1-5"), at("a.000001", 9, u1+":1-5"), true},
		{at("a.000001", 4, ""), at("a.000001", 3, u1+":1-5"), false},
		{at("a.000001", 4, u1+":1"), at("a.000002", 3, u2+":1"), true}, // neither holds the other
	} {
		if got := position.Before(c.a, c.b); got != c.want {
			t.Errorf("%+v before %+v: %v", c.a, c.b, got)
		}
	}
}

func FuzzGTIDSet(f *testing.F) {
	f.Add(u1+":1-5:9:t:3", []byte{1, 0, 0, 0, 0, 0, 0, 0})
	f.Add("0-1-5,1-2-3", gtids(f, u1+":1:abc:2").Encode())
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		for _, read := range []func() (*position.GTIDSet, error){
			func() (*position.GTIDSet, error) { return position.ParseGTIDSet(text) },
			func() (*position.GTIDSet, error) { return position.DecodeGTIDSet(raw) },
		} {
			s, err := read()
			if err != nil {
				continue
			}
			again, err := position.ParseGTIDSet(s.String())
			if err != nil || again.String() != s.String() || !again.Contains(s) || !s.Contains(again) {
				t.Errorf("%q comes back as %q, %v", s, again, err)
			}
		}
	})
}
