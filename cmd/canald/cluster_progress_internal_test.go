package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/store"
)

func TestProgress(t *testing.T) {
	now := time.Now()
	s := &instance.Status{Clients: []instance.ClientStatus{
		{ID: 1001, Store: store.ClientStats{OldestTime: now.Add(-90 * time.Second).UnixMilli()}},
		{ID: 7},
	}}
	p := progressOf(s, 42, now)
	if p.Lag["1001"] < 89_000 || p.Lag["1001"] > 91_000 || p.Lag["7"] != 0 || p.quiet() {
		t.Errorf("%+v", p)
	}
	s.Clients = s.Clients[1:]
	if p := progressOf(s, 42, now); !p.quiet() {
		t.Errorf("nobody is behind: %+v", p)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := parseProgress(raw, 42); !ok || got.Lag["1001"] != p.Lag["1001"] {
		t.Errorf("%+v, %t", got, ok)
	}
	for what, c := range map[string]struct {
		raw   string
		epoch int64
	}{
		"another owner's": {string(raw), 43},
		"empty":           {"", 42},
		"no JSON":         {"lag", 42},
		"before its time": {`{"epoch":42,"at":1,"lag":{"1":-1}}`, 42},
		"without a time":  {`{"epoch":42,"lag":{}}`, 42},
		"huge":            {`{"epoch":42,"at":1,"lag":{}}` + strings.Repeat(" ", mostProgressSize), 42},
	} {
		if got, ok := parseProgress([]byte(c.raw), c.epoch); ok {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func TestLagText(t *testing.T) {
	now := time.Now()
	seconds := func(s float64) *float64 { return &s }
	at := func(d time.Duration) string { return now.Add(-d).UTC().Format(time.RFC3339) }
	for want, c := range map[string]clientStatus{
		"-":               {},
		"0s":              {LagSeconds: seconds(0), LagAt: at(time.Hour)},
		"1m3.5s":          {LagSeconds: seconds(63.52), LagAt: at(time.Second)},
		"2s (1h0m0s ago)": {LagSeconds: seconds(2), LagAt: at(time.Hour)},
	} {
		got := c.lag(now)
		if strings.Contains(want, "ago") {
			got = strings.Replace(got, "1h0m1s", "1h0m0s", 1) // the second that was cut off
		}
		if got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func FuzzProgress(f *testing.F) {
	f.Add([]byte(`{"epoch":42,"at":1700000000000,"lag":{"1001":5}}`))
	f.Add([]byte(`{"epoch":42,"at":9223372036854775807,"lag":{"":9223372036854775807}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, ok := parseProgress(raw, 42)
		if !ok {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		q, ok := parseProgress(again, 42)
		if third, _ := json.Marshal(q); len(again) <= mostProgressSize && (!ok || !bytes.Equal(again, third)) {
			t.Errorf("%s became %s", again, third)
		}
		for id, lag := range p.Lag {
			s := float64(lag) / 1000
			_ = (&clientStatus{LagSeconds: &s, LagAt: id}).lag(time.Now())
		}
	})
}
