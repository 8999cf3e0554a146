package metrics_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/metrics"
	"github.com/canald/canald/internal/packet"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/server"
	"github.com/canald/canald/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// status is what a destination in the middle of its work says of itself.
func status(name string) *instance.Status {
	now := time.Now()
	s := &instance.Status{
		Destination: name, Source: "db:3306", ServerID: 7, Workers: 2, Connected: true, ConnectedSince: now.Add(-time.Hour), Dumps: 3,
		Errors: map[string]int64{"network": 2}, LastError: "connection refused", LastErrorAt: now.Add(-time.Hour),
		File: "mysql-bin.000042", Offset: 4711, Received: 9626, LastEvent: now.Add(-3 * time.Second), LastHeartbeat: now.Add(-20 * time.Second),
		Delay: 2 * time.Second, FreeBlocked: 1500 * time.Microsecond, Traffic: now.Add(-9600 * time.Millisecond), Transactions: 11, Seen: 12, InFlight: 3, Version: "8.0.36",
		Events: map[string]int64{"insert": 5, "ddl": 1}, Filtered: map[string]int64{"table": 9, "empty_transaction": 4},
		Store: store.Stats{
			Slots: 16384, Capacity: 16 << 20, Entries: 3, Bytes: 300, Put: 10, Freed: 7, PutBytes: 1000, FreedBytes: 700,
			Rows: store.Rows{Put: 50, Get: 45, Ack: 40}, Blocked: 2500 * time.Microsecond,
			Marks: store.Marks{Put: now.Add(-time.Second).UnixMilli(), Get: now.UnixMilli(), Ack: now.Add(-5 * time.Second).UnixMilli()},
		},
		Flushes: meta.Flushes{Count: 4, Errors: 1, Took: 20 * time.Millisecond, Last: now, Within: [8]int64{0, 1, 3, 4, 4, 4, 4, 4}},
	}
	s.Clients = []instance.ClientStatus{{
		ID: 1001, Filter: `shop\..*`, Cursor: position.Position{File: "mysql-bin.000042", Offset: 4000}, Known: true,
		Store: store.ClientStats{Unread: 1, Outstanding: 2, Rollbacks: 1, AgainRows: 5, Active: now, OldestTime: now.Add(-8 * time.Second).UnixMilli()},
	}}
	return s
}

func running(names ...string) func() []metrics.Destination {
	return func() []metrics.Destination {
		var out []metrics.Destination
		for _, n := range names {
			out = append(out, metrics.Destination{Name: n, State: metrics.Running, Since: time.Now().Add(-time.Hour), Status: status(n)})
		}
		return out
	}
}

func newMetrics(of func() []metrics.Destination) *metrics.Metrics {
	return metrics.New(metrics.Config{Version: "1.0", ReadyLimit: time.Minute}, of, zap.NewNop())
}

// answer is what the handler said.
type answer struct {
	code   int
	header http.Header
	body   string
}

func fetch(t *testing.T, m *metrics.Metrics, method, target string, header ...string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func page(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	return fetch(t, m, "GET", "/metrics").body
}

// series finds the value of a sample by its name and labels as they are written.
func series(t *testing.T, text, sample string) float64 {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, sample+" "); ok {
			var v float64
			if _, err := fmt.Sscan(rest, &v); err != nil {
				t.Fatalf("%s: %v", sample, err)
			}
			return v
		}
	}
	t.Errorf("there is no %s", sample)
	return 0
}

// TestCanalNames holds every name and label of Canal's instance metrics, their
// types and units.
func TestCanalNames(t *testing.T) {
	text := page(t, newMetrics(running("example")))
	d := `{destination="example"`
	for sample, want := range map[string]float64{
		"canal_instance" + d + `,mode="spring"}`:                                             1,
		"canal_instance_subscriptions" + d + "}":                                             1,
		"canal_instance_parser_mode" + d + `,parallel="true"}`:                               1,
		"canal_instance_received_binlog_bytes" + d + `,parser="0"}`:                          9626,
		"canal_instance_publish_blocking_time" + d + `,parser="0"}`:                          1.5,
		"canal_instance_sink_blocking_time" + d + "}":                                        2.5,
		"canal_instance_transactions" + d + "}":                                              11,
		"canal_instance_store" + d + `,batchMode="MEMSIZE",size="16384"}`:                    1,
		"canal_instance_store_produce_seq" + d + "}":                                         9,
		"canal_instance_store_consume_seq" + d + "}":                                         6,
		"canal_instance_store_produce_mem" + d + "}":                                         1000,
		"canal_instance_store_consume_mem" + d + "}":                                         700,
		"canal_instance_put_rows" + d + "}":                                                  50,
		"canal_instance_get_rows" + d + "}":                                                  45,
		"canal_instance_ack_rows" + d + "}":                                                  40,
		"canal_source_delay_seconds" + d + `,parser="0"}`:                                    2,
		"canal_source_binlog_file_index" + d + `,parser="0"}`:                                42,
		"canal_source_errors_total" + d + `,parser="0",reason="network"}`:                    2,
		"canal_destination_state" + d + `,state="running"}`:                                  1,
		"canal_destination_state" + d + `,state="failed"}`:                                   0,
		"canal_redelivered_rows_total" + d + `,client_id="1001"}`:                            5,
		"canal_events_total" + d + `,type="insert"}`:                                         5,
		"canal_filtered_events_total" + d + `,reason="table"}`:                               9,
		"canal_cursor_flush_errors_total" + d + "}":                                          1,
		`canal_build_info{go_version="` + runtime.Version() + `",revision="",version="1.0"}`: 1,
		"canal_cursor_flush_seconds_bucket" + d + `,le="0.005"}`:                             1,
		"canal_cursor_flush_seconds_bucket" + d + `,le="1.0"}`:                               4,
		"canal_cursor_flush_seconds_bucket" + d + `,le="+Inf"}`:                              4,
		"canal_cursor_flush_seconds_count" + d + "}":                                         4,
		"canal_cursor_flush_seconds_sum" + d + "}":                                           0.02,
		"canal_client_outstanding_batches" + d + `,client_id="1001"}`:                        2,
		"canal_client_unread_events" + d + `,client_id="1001"}`:                              1,
		"canal_pipeline_chunks" + d + "}":                                                    3,
		"canal_client_connections":                                                           0,
	} {
		if got := series(t, text, sample); got != want {
			t.Errorf("%s: %v, want %v", sample, got, want)
		}
	}
	for sample, want := range map[string]float64{
		"canal_instance_traffic_delay" + d + "}": 9600,
		// Canal's rule: put ≥ get ≥ ack as times, so the delays never fall from put to ack.
		"canal_instance_put_delay" + d + "}":               1000,
		"canal_instance_get_delay" + d + "}":               1000,
		"canal_instance_ack_delay" + d + "}":               5000,
		"canal_ack_lag_seconds" + d + `,client_id="1001"}`: 8,
	} {
		// A clock may be set back a little while the test runs.
		if got := series(t, text, sample); got < 0.99*want || got > want+2000 {
			t.Errorf("%s: %v, want %v", sample, got, want)
		}
	}
	for _, name := range []string{
		"process_cpu_seconds_total", "process_start_time_seconds", "process_open_fds", "process_max_fds", "process_virtual_memory_bytes",
		"process_resident_memory_bytes", "go_goroutines",
	} {
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("there is no %s", name)
		}
	}
	if strings.Contains(text, "jvm_") {
		t.Error("a JVM is pretended")
	}
	// What Prometheus itself thinks of the page.
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(text)); err != nil {
		t.Error(err)
	}
}

// TestItemMode leaves out what a store without bytes does not have.
func TestItemMode(t *testing.T) {
	s := status("d")
	s.Store.ItemMode, s.Workers = true, 1
	text := page(t, newMetrics(func() []metrics.Destination {
		return []metrics.Destination{{Name: "d", State: metrics.Running, Status: s}}
	}))
	series(t, text, `canal_instance_store{destination="d",batchMode="ITEMSIZE",size="16384"}`)
	series(t, text, `canal_instance_parser_mode{destination="d",parallel="false"}`)
	if strings.Contains(text, "\ncanal_instance_store_produce_mem{") {
		t.Error("bytes are shown that are not counted")
	}
}

// TestStates walks through the life of a destination: what does not run has no
// samples of Canal's, and its state all the same.
func TestStates(t *testing.T) {
	m := newMetrics(func() []metrics.Destination {
		return []metrics.Destination{{Name: `a"b\` + "\n", State: metrics.Failed, Since: time.Now(), Err: "no such file"}}
	})
	text := page(t, m)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "canal_instance") {
			t.Errorf("a destination that does not run has %s", line)
		}
	}
	series(t, text, `canal_destination_state{destination="a\"b\\\n",state="failed"}`)
	for _, name := range []string{"canal_instance", "canal_instance_client_packets", "canal_instance_client_request_latency"} {
		if !strings.Contains(text, "# TYPE "+name+" ") {
			t.Errorf("the empty family %s has no header", name)
		}
	}
	r := fetch(t, m, "GET", "/readyz")
	if text := r.body; r.code != http.StatusServiceUnavailable || !strings.Contains(text, "failed") || !strings.Contains(text, "no such file") {
		t.Errorf("%d %s", r.code, text)
	}
}

// TestClientMetrics follows Canal's table of what each request counts.
func TestClientMetrics(t *testing.T) {
	m := newMetrics(running("d"))
	o := m.Observer()
	for _, r := range []server.Request{
		{Destination: "d", Type: packet.TypeSub, Bytes: 10, Latency: time.Millisecond},
		{Destination: "d", Type: packet.TypeGet, Bytes: 1000, Latency: 5 * time.Millisecond},
		{Destination: "d", Type: packet.TypeGet, Bytes: 20, Latency: 200 * time.Millisecond, Empty: true},
		{Destination: "d", Type: packet.TypeClientAck, Bytes: 4},
		{Destination: "d", Type: packet.TypeClientAck, Bytes: 30, Code: 402},
		{Destination: "", Type: packet.TypeGet, Bytes: 30, Code: 401},
		{Destination: "nobody's", Type: packet.TypeGet, Bytes: 30, Code: 400},
		{Destination: "d", Type: packet.TypeDump, Bytes: 30, Code: 400},
		// The answer that tells the error of the ack above, which is one error.
		{Destination: "", Type: packet.TypeGet, Bytes: 30, Code: 402, Deferred: true},
	} {
		o.Request(r)
	}
	o.Opened()
	o.Opened()
	o.Closed()
	o.AuthFailed()
	o.Refused("frame too large")
	text := page(t, m)
	for sample, want := range map[string]float64{
		`canal_instance_client_packets{destination="d",packetType="SUBSCRIPTION"}`: 1,
		`canal_instance_client_packets{destination="d",packetType="GET"}`:          1,
		`canal_instance_client_packets{destination="d",packetType="CLIENTACK"}`:    2,
		`canal_instance_client_packets{destination="d",packetType="DUMP"}`:         1,
		`canal_instance_client_packets{destination="",packetType="GET"}`:           3,
		`canal_instance_client_bytes{destination="d"}`:                             1094,
		`canal_instance_client_empty_batches{destination="d"}`:                     1,
		`canal_instance_client_request_error{destination="d",errorCode="402"}`:     1,
		`canal_instance_client_request_error{destination="d",errorCode="400"}`:     1,
		`canal_instance_client_request_error{destination="",errorCode="401"}`:      1,
		`canal_instance_client_request_error{destination="",errorCode="400"}`:      1,

		`canal_instance_client_request_latency_bucket{destination="d",le="2.5"}`:   4,
		`canal_instance_client_request_latency_bucket{destination="d",le="10.0"}`:  5,
		`canal_instance_client_request_latency_bucket{destination="d",le="25.0"}`:  5,
		`canal_instance_client_request_latency_bucket{destination="d",le="100.0"}`: 5,
		`canal_instance_client_request_latency_bucket{destination="d",le="+Inf"}`:  6,
		`canal_instance_client_request_latency_count{destination="d"}`:             6,
		`canal_instance_client_request_latency_sum{destination="d"}`:               206,
		"canal_client_connections":                                       1,
		"canal_client_auth_failures_total":                               1,
		`canal_client_refused_total{reason="frame too large"}`:           1,
		`canal_client_request_seconds_count{destination="d",type="GET"}`: 2,
	} {
		if got := series(t, text, sample); got != want {
			t.Errorf("%s: %v, want %v", sample, got, want)
		}
	}
	if strings.Contains(text, `canal_instance_client_request_error{destination="",errorCode="402"}`) {
		t.Error("one error is counted twice")
	}
	if strings.Contains(text, "nobody's") {
		t.Error("a name that a client made up is a label")
	}
}

// TestPaths: the page is everywhere but at the paths of health.
func TestPaths(t *testing.T) {
	m := newMetrics(running("d"))
	for _, c := range []struct{ method, target, want string }{
		{"GET", "/metrics", "canal_instance{"},
		{"GET", "/", "canal_instance{"},
		{"GET", "/favicon.ico", "canal_instance{"},
		{"POST", "/foo", "canal_instance{"},
		{"GET", "/livez", "ok"},
		{"GET", "/healthz", "ok"},
		{"GET", "/readyz", "ready"},
		{"GET", "/instances", `"position": "mysql-bin.000042:4711"`},
	} {
		r := fetch(t, m, c.method, c.target)
		if r.code != http.StatusOK || !strings.Contains(r.body, c.want) {
			t.Errorf("%s %s: %d %.200s", c.method, c.target, r.code, r.body)
		}
	}
	r := fetch(t, m, "GET", "/", "Accept", "application/openmetrics-text")
	if ct := r.header.Get("Content-Type"); ct != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("content type %q", ct)
	}
	r = fetch(t, m, "GET", "/metrics", "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := io.ReadAll(z); err != nil || !bytes.Contains(raw, []byte("canal_instance{")) {
		t.Errorf("gzip: %v", err)
	}
	for header, packed := range map[string]bool{"deflate, GZip;q=0.5": true, "gzip;q=0": false, "deflate": false, "gzip; q=0.001": true} {
		r := fetch(t, m, "GET", "/metrics?name[]=canal_instance", "Accept-Encoding", header)
		if got := r.header.Get("Content-Encoding") == "gzip"; got != packed || strings.HasPrefix(r.body, "#") == packed {
			t.Errorf("%s: compressed %t", header, got)
		}
	}
	text := fetch(t, m, "GET", "/metrics?name[]=canal_instance_put_rows&name%5B%5D=canal_instance_ack_rows&name[]=none").body
	if want := "# HELP canal_instance_put_rows rows put into the store\n# TYPE canal_instance_put_rows counter\ncanal_instance_put_rows{destination=\"d\"} 50\n"; !strings.HasPrefix(text, want) || strings.Count(text, "\n") != 6 {
		t.Errorf("filtered page:\n%s", text)
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(fetch(t, m, "GET", "/instances").body), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v, %d instances", err, len(list))
	}
}
