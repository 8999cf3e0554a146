package metrics_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/canald/canald/internal/packet"
	"github.com/canald/canald/internal/server"
)

var metricName = regexp.MustCompile(`\b(canal|process|go)_[a-z_]+`)

// TestBoardAndAlerts wants every metric that our board and rules name, and that
// both files are well formed.
func TestBoardAndAlerts(t *testing.T) {
	text := page(t, newMetrics(running("d")))
	board, err := os.ReadFile("../../deploy/grafana/canald.json")
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(board, &parsed); err != nil || len(parsed.Panels) < 8 {
		t.Fatalf("board: %v, %d panels", err, len(parsed.Panels))
	}
	rules, err := os.ReadFile("../../deploy/grafana/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var alerts struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(rules, &alerts); err != nil || len(alerts.Groups) != 1 || len(alerts.Groups[0].Rules) < 8 {
		t.Fatalf("rules: %v", err)
	}
	var expressions []string
	for _, p := range parsed.Panels {
		for _, target := range p.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	for _, r := range alerts.Groups[0].Rules {
		expressions = append(expressions, r.Expr)
	}
	known := map[string]bool{}
	for _, kind := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		known[kind[1]] = true
		if kind[2] == "histogram" {
			known[kind[1]+"_bucket"], known[kind[1]+"_sum"], known[kind[1]+"_count"] = true, true, true
		}
	}
	for _, e := range expressions {
		for _, name := range metricName.FindAllString(e, -1) {
			if !known[name] {
				t.Errorf("%s: there is no %s", e, name)
			}
		}
		// A value that is written out, as that of a state, is one that occurs.
		for _, s := range regexp.MustCompile(`(canal_\w+)\{(\w+="[^"$]+")\}`).FindAllStringSubmatch(e, -1) {
			if !regexp.MustCompile(`(?m)^` + s[1] + `\{.*` + regexp.QuoteMeta(s[2])).MatchString(text) {
				t.Errorf("%s: no series of %s has %s", e, s[1], s[2])
			}
		}
	}
}

// TestCanalBoard: the queries of the board that Canal ships find their series.
func TestCanalBoard(t *testing.T) {
	m := newMetrics(running("d"))
	o := m.Observer()
	o.Request(server.Request{Destination: "d", Type: packet.TypeGet, Bytes: 10, Latency: time.Millisecond})
	o.Request(server.Request{Destination: "d", Type: packet.TypeGet, Bytes: 10, Latency: time.Millisecond, Empty: true})
	o.Request(server.Request{Destination: "d", Type: packet.TypeClientAck, Bytes: 4})
	text := page(t, m)
	for _, query := range []string{
		`canal_instance`, `canal_instance_parser_mode`, `canal_instance_store`, `canal_instance_received_binlog_bytes{parser="0"`, `canal_instance_client_bytes`,
		`canal_instance_traffic_delay`, `canal_instance_put_delay`, `canal_instance_get_delay`, `canal_instance_ack_delay`,
		`canal_instance_publish_blocking_time{parser="0"`, `canal_instance_sink_blocking_time`, `canal_instance_put_rows`, `canal_instance_get_rows`,
		`canal_instance_ack_rows`, `canal_instance_transactions`, `canal_instance_client_packets{packetType="GET"`, `canal_instance_client_packets{packetType="CLIENTACK"`,
		`canal_instance_client_empty_batches`, `canal_instance_client_request_latency_bucket{le="10.0"`, `canal_instance_store_produce_seq`,
		`canal_instance_store_consume_seq`, `canal_instance_store_produce_mem`, `canal_instance_store_consume_mem`,
	} {
		name, label, _ := strings.Cut(query, "{")
		found := slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
			return strings.HasPrefix(line, name+`{`) && strings.Contains(line, `destination="d"`) && strings.Contains(line, label)
		})
		if !found {
			t.Errorf("%s finds nothing", query)
		}
	}
}
