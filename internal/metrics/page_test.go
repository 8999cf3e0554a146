package metrics_test

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/canald/canald/internal/metrics"
	"github.com/canald/canald/internal/packet"
	"github.com/canald/canald/internal/server"
	"github.com/canald/canald/internal/store"
)

func TestReady(t *testing.T) {
	for _, c := range []struct {
		name  string
		ready bool
		make  func(d *metrics.Destination)
	}{
		{"runs", true, func(*metrics.Destination) {}},
		{"source lost a moment ago", true, func(d *metrics.Destination) {
			d.State, d.Status.Connected, d.Status.ConnectedSince = metrics.Retrying, false, time.Now().Add(-time.Second)
		}},
		{"source lost long ago", false, func(d *metrics.Destination) {
			d.State, d.Status.Connected, d.Status.ConnectedSince = metrics.Retrying, false, time.Now().Add(-2*time.Minute)
		}},
		{"connected again, and fails at the same place", false, func(d *metrics.Destination) {
			d.State, d.Status.ConnectedSince, d.Status.TroubleSince = metrics.Running, time.Now(), time.Now().Add(-2*time.Minute)
		}},
		{"rests since nobody fetches", true, func(d *metrics.Destination) {
			d.State, d.Status.Connected, d.Status.ConnectedSince = metrics.Retrying, false, time.Now().Add(-2*time.Minute)
			d.Status.ParkedSince = d.Status.ConnectedSince
		}},
		{"just started", true, func(d *metrics.Destination) { d.State, d.Since, d.Status = metrics.Starting, time.Now(), nil }},
		{"failed", false, func(d *metrics.Destination) {
			d.State, d.Since, d.Err, d.Status = metrics.Failed, time.Now(), "connection refused", nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := running("d")()[0]
			c.make(&d)
			r := fetch(t, newMetrics(func() []metrics.Destination { return []metrics.Destination{d} }), "GET", "/readyz")
			text := r.body
			if (r.code == http.StatusOK) != c.ready {
				t.Errorf("%d %s", r.code, text)
			}
			if !c.ready && (!strings.Contains(text, "d: ") || !strings.Contains(text, "connection refused")) {
				t.Errorf("the reason is not told: %s", text)
			}
		})
	}
}

// TestStateOfTrouble: what the instance says of itself decides the state.
func TestStateOfTrouble(t *testing.T) {
	since := time.Now().Add(-3 * time.Minute)
	trouble, parked := status("trouble"), status("parked")
	trouble.TroubleSince, parked.ParkedSince, parked.Connected = since, since, false
	m := newMetrics(func() []metrics.Destination {
		return []metrics.Destination{
			{Name: "trouble", State: metrics.Running, Status: trouble},
			{Name: "parked", State: metrics.Retrying, Status: parked},
			{Name: "empty", State: metrics.Waiting, Since: since},
			{Name: "wrong", State: metrics.Failed, Since: since, Err: "line 3: no\nline 4: neither"},
		}
	})
	text := page(t, m)
	for sample, want := range map[string]float64{
		`canal_destination_state{destination="trouble",state="retrying"}`: 1, `canal_destination_state{destination="trouble",state="running"}`: 0,
		`canal_destination_state{destination="parked",state="parked"}`: 1, `canal_destination_state{destination="parked",state="retrying"}`: 0,
		`canal_destination_state{destination="empty",state="waiting"}`: 1,
	} {
		if got := series(t, text, sample); got != want {
			t.Errorf("%s: %v, want %v", sample, got, want)
		}
	}
	stamp := since.Format(time.RFC3339)
	want := "not ready\ntrouble: retrying since " + stamp + ": connection refused\nempty: waiting since " + stamp +
		": it has no configuration yet\nwrong: failed since " + stamp + ": line 3: no; line 4: neither\n"
	if r := fetch(t, m, "GET", "/readyz"); r.body != want {
		t.Errorf("%q, want %q", r.body, want)
	}
}

// TestDefectOfList: a page without destinations is better than none, a client is
// served all the same, and nobody says that all is well.
func TestDefectOfList(t *testing.T) {
	m := newMetrics(func() []metrics.Destination { panic("a defect") })
	m.Observer().Request(server.Request{Destination: "d", Type: packet.TypeGet, Bytes: 10})
	text := page(t, m)
	if got := series(t, text, `canal_scrape_errors_total{collector="list"}`); got != 2 {
		t.Errorf("%v defects counted", got)
	}
	series(t, text, `canal_instance_client_packets{destination="",packetType="GET"}`)
	for _, path := range []string{"/readyz", "/instances"} {
		if r := fetch(t, m, "GET", path); r.code < 500 || !strings.Contains(r.body, "cannot be listed") {
			t.Errorf("%s: %d %s", path, r.code, r.body)
		}
	}
	if r := fetch(t, m, "GET", "/livez"); r.code != http.StatusOK {
		t.Errorf("livez: %d", r.code)
	}
}

// TestForeignBytes: a name that is no UTF-8 does not cost the page.
func TestForeignBytes(t *testing.T) {
	name := "caf\xe9"
	m := newMetrics(running(name))
	m.Observer().Request(server.Request{Destination: name, Type: packet.TypeGet, Bytes: 10})
	text := page(t, m)
	series(t, text, "canal_instance{destination=\"caf\uFFFD\",mode=\"spring\"}")
	series(t, text, "canal_instance_client_bytes{destination=\"caf\uFFFD\"}")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(text)); err != nil {
		t.Error(err)
	}
}

// TestGolden holds what canald's own part of a page looks like, to the byte;
// -update writes it.
func TestGolden(t *testing.T) {
	const golden = "testdata/page.txt"
	var text string
	synctest.Test(t, func(t *testing.T) { // the clock stands still
		m := newMetrics(func() []metrics.Destination {
			all := running("example")()
			return append(all, metrics.Destination{Name: "broken", State: metrics.Failed, Err: "no such file"})
		})
		o := m.Observer()
		o.Request(server.Request{Destination: "example", Type: packet.TypeGet, Bytes: 1004, Latency: 3 * time.Millisecond})
		o.Request(server.Request{Destination: "example", Type: packet.TypeGet, Bytes: 10, Latency: time.Second, Empty: true})
		o.Request(server.Request{Destination: "example", Type: packet.TypeClientAck, Bytes: 4, Latency: 100 * time.Microsecond})
		o.Request(server.Request{Destination: "else", Type: packet.TypeGet, Bytes: 90, Code: 400})
		o.Opened()
		text = page(t, m)
	})
	var own strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "canal_") {
			own.WriteString(strings.ReplaceAll(line, runtime.Version(), "GO"))
		}
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(golden, []byte(own.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, lines := strings.Split(own.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(lines)) {
		if i >= len(got) || i >= len(lines) || got[i] != lines[i] {
			t.Fatalf("%s, line %d: the page differs; go test ./internal/metrics -update writes it\ngot  %q\nwant %q", golden, i+1, got[min(i, len(got)-1)], lines[min(i, len(lines)-1)])
		}
	}
}

// TestShared: many scrapes cost one look at the instances.
func TestShared(t *testing.T) {
	looks := 0
	of := running("d")
	m := newMetrics(func() []metrics.Destination {
		looks++
		return of()
	})
	first := page(t, m)
	for range 50 {
		if page(t, m) != first {
			t.Fatal("the page changed within a second")
		}
	}
	if looks != 1 {
		t.Errorf("%d looks", looks)
	}
}

// TestClockAhead: a source whose clock is ahead makes no negative delay.
func TestClockAhead(t *testing.T) {
	s := status("d")
	future := time.Now().Add(time.Hour)
	s.Traffic, s.Store.Marks = future, store.Marks{Put: future.UnixMilli(), Get: future.UnixMilli(), Ack: future.UnixMilli()}
	s.Clients[0].Store.OldestTime = future.UnixMilli()
	text := page(t, newMetrics(func() []metrics.Destination {
		return []metrics.Destination{{Name: "d", State: metrics.Running, Status: s}}
	}))
	for _, sample := range []string{
		`canal_instance_traffic_delay{destination="d"}`, `canal_instance_put_delay{destination="d"}`, `canal_instance_get_delay{destination="d"}`,
		`canal_instance_ack_delay{destination="d"}`, `canal_ack_lag_seconds{destination="d",client_id="1001"}`,
	} {
		if v := series(t, text, sample); v != 0 {
			t.Errorf("%s: %v", sample, v)
		}
	}
}

func hundred() func() []metrics.Destination {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("d%03d", i))
	}
	list := running(names...)()
	return func() []metrics.Destination { return slices.Clone(list) }
}

func TestHundredDestinations(t *testing.T) {
	text := page(t, newMetrics(hundred()))
	if n := strings.Count(text, "\ncanal_instance{"); n != 100 {
		t.Errorf("%d of 100 destinations", n)
	}
}

// BenchmarkScrape renders the page of a hundred destinations, without sharing it.
func BenchmarkScrape(b *testing.B) {
	for b.Loop() {
		m := newMetrics(hundred())
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
