package fault

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/test/harness"
)

// look fetches a page of the port for metrics and health.
func look(t *testing.T, c *harness.Canald, path string) (int, string) {
	t.Helper()
	h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := h.Get("http://" + c.Metrics + path)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(raw)
}

func until(t *testing.T, c *harness.Canald, path string, code int, words ...string) string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		got, text := look(t, c, path)
		ok := got == code
		for _, w := range words {
			ok = ok && strings.Contains(text, w)
		}
		if ok {
			return text
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %d, want %d with %q\n%s\n%s", path, got, code, words, text, c.Log())
		}
	}
}

// canalNames are all of Canal's, with the labels beside the destination.
var canalNames = map[string]string{
	"canal_instance": `,mode="spring"`, "canal_instance_subscriptions": "", "canal_instance_parser_mode": `,parallel=`,
	"canal_instance_received_binlog_bytes": `,parser="0"`, "canal_instance_publish_blocking_time": `,parser="0"`, "canal_instance_sink_blocking_time": "",
	"canal_instance_traffic_delay": "", "canal_instance_transactions": "", "canal_instance_store": `,batchMode="MEMSIZE",size="16384"`,
	"canal_instance_store_produce_seq": "", "canal_instance_store_consume_seq": "", "canal_instance_store_produce_mem": "",
	"canal_instance_store_consume_mem": "", "canal_instance_put_rows": "", "canal_instance_get_rows": "", "canal_instance_ack_rows": "",
	"canal_instance_put_delay": "", "canal_instance_get_delay": "", "canal_instance_ack_delay": "",
}

var clientNames = []string{
	`canal_instance_client_packets{destination="seen",packetType="SUBSCRIPTION"}`, `canal_instance_client_packets{destination="seen",packetType="GET"}`,
	`canal_instance_client_packets{destination="seen",packetType="CLIENTACK"}`, `canal_instance_client_packets{destination="seen",packetType="CLIENTROLLBACK"}`,
	`canal_instance_client_bytes{destination="seen"}`, `canal_instance_client_empty_batches{destination="seen"}`,
	`canal_instance_client_request_latency_bucket{destination="seen",le="2.5"}`, `canal_instance_client_request_latency_bucket{destination="seen",le="10.0"}`,
	`canal_instance_client_request_latency_sum{destination="seen"}`, `canal_instance_client_request_latency_count{destination="seen"}`,
}

func value(t *testing.T, text, sample string) float64 {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, sample+" "); ok {
			var v float64
			if _, err := fmt.Sscan(rest, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("there is no %s in\n%s", sample, text)
	return 0
}

// TestHealth looks at metrics and health of the real binary while its source
// lives, dies and comes back, and when a destination cannot start.
func TestHealth(t *testing.T) {
	s, err := harness.StartServer(t.Context(), harness.Versions()[0], t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	s.Exec(t, "CREATE DATABASE seen", "CREATE TABLE seen.t (id INT PRIMARY KEY)")
	c := harness.StartCanald(t, s, "canald.ready.limit=2\ncanal.auto.scan=true\ncanal.auto.scan.interval=1", map[string]string{"seen": `canal.instance.filter.regex=seen\\..*`})
	until(t, c, "/readyz", http.StatusOK, "ready")
	conn := dial(t, c, "seen")
	s.Exec(t, "INSERT INTO seen.t VALUES (1),(2),(3)")
	if got := receive(t, conn, 3); got != 3 {
		t.Fatalf("%d of 3 rows came", got)
	}
	if err := conn.Rollback(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if m, err := conn.GetWithoutAck(t.Context(), 100, 0); err != nil || m.ID >= 0 {
		t.Fatalf("%v, a batch of %d", err, m.ID)
	}
	time.Sleep(1100 * time.Millisecond) // a page is shared for a second
	_, text := look(t, c, "/metrics")
	for name, labels := range canalNames {
		if !strings.Contains(text, "\n"+name+`{destination="seen"`+labels) {
			t.Errorf("there is no %s with %s", name, labels)
		}
	}
	for _, sample := range clientNames {
		value(t, text, sample)
	}
	for sample, want := range map[string]float64{
		`canal_instance_put_rows{destination="seen"}`: 3, `canal_instance_get_rows{destination="seen"}`: 3, `canal_instance_ack_rows{destination="seen"}`: 3,
		`canal_instance_subscriptions{destination="seen"}`: 1, `canal_source_connected{destination="seen",parser="0"}`: 1,
		`canal_ack_lag_seconds{destination="seen",client_id="1001"}`: 0,
	} {
		if got := value(t, text, sample); got != want {
			t.Errorf("%s: %v, want %v", sample, got, want)
		}
	}
	if got := value(t, text, `canal_source_delay_seconds{destination="seen",parser="0"}`); got > 5 {
		t.Errorf("delay of %v s on one host", got)
	}

	history, err := os.ReadFile(filepath.Join(c.Home, "logs", "seen", "meta.log"))
	if err != nil || !strings.Contains(string(history), " - clientId:1001 cursor:[mysql-bin.") {
		t.Errorf("meta.log: %v\n%s", err, history)
	}
	own, err := os.ReadFile(filepath.Join(c.Home, "logs", "seen", "seen.log"))
	for _, line := range []string{
		" [seen] INFO  instance - start CannalInstance for 1-seen ", ` WARN  instance - --> init table filter : ^seen\..*$`, "start successful....",
		"---> begin to find start position, it will be long time for reset or first position", "prepare to find start position just show master status",
		"---> find start position successfully, EntryPosition[included=false,journalName=mysql-bin.", "the next step is binlog dump",
		"subscribe successfully, ClientIdentity[destination=seen,clientId=1001,filter=]",
	} {
		if err != nil || !strings.Contains(string(own), line) {
			t.Errorf("seen.log has no %q: %v\n%s", line, err, own)
		}
	}

	// The source dies: alive, but not ready, and every name is still there.
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	reasons := until(t, c, "/readyz", http.StatusServiceUnavailable, "seen: retrying", "connection refused")
	t.Logf("%s", reasons)
	if code, _ := look(t, c, "/livez"); code != http.StatusOK {
		t.Errorf("livez says %d", code)
	}
	_, list := look(t, c, "/instances")
	var instances []struct {
		Destination, State string
		Source             struct {
			Connected bool
			LastError string `json:"last_error"`
			Position  string
		}
		Clients []struct{ Cursor string }
	}
	if err := json.Unmarshal([]byte(list), &instances); err != nil || len(instances) != 1 {
		t.Fatalf("%v\n%s", err, list)
	}
	i := instances[0]
	if i.State != "retrying" || i.Source.Connected || !strings.Contains(i.Source.LastError, "refused") || !strings.Contains(i.Source.Position, "mysql-bin.") ||
		len(i.Clients) != 1 || !strings.Contains(i.Clients[0].Cursor, "mysql-bin.") {
		t.Errorf("instances:\n%s", list)
	}
	text = until(t, c, "/metrics", http.StatusOK, `canal_destination_state{destination="seen",state="retrying"} 1`)
	for name := range canalNames {
		if !strings.Contains(text, "\n"+name+`{destination="seen"`) {
			t.Errorf("without the source there is no %s", name)
		}
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, c, "/readyz", http.StatusOK)

	// A destination that cannot start is named, and has only its state.
	c.Configure(t, s, "broken", "canal.instance.memory.buffer.size=1000")
	until(t, c, "/readyz", http.StatusServiceUnavailable, "broken: failed", "bufferSize must be a power of 2")
	text = until(t, c, "/metrics", http.StatusOK, `canal_destination_state{destination="broken",state="failed"} 1`)
	if strings.Contains(text, `canal_instance{destination="broken"`) {
		t.Error("what does not run is shown as running")
	}
	if err := os.RemoveAll(filepath.Join(c.Home, "conf", "broken")); err != nil {
		t.Fatal(err)
	}
	until(t, c, "/readyz", http.StatusOK)
	c.Stop(t)
}
