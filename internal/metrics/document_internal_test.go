package metrics

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/METRICS.md anew")

const document = "../../docs/METRICS.md"

const intro = `# Metrics and health

The port is ` + "`canal.metrics.pull.port`" + ` (11112; 0 or less opens none), on all interfaces or on ` + "`canald.metrics.ip`" + `, with TLS and a password when
` + "`canald.metrics.tls.cert`, `canald.metrics.tls.key`, `canald.metrics.user` and `canald.metrics.passwd`" + ` are set. While it is taken by another program the server runs without it
and tries again.

| path | answer |
|---|---|
| ` + "`/livez`, `/healthz`" + ` | 200 while the process lives |
| ` + "`/readyz`" + ` | 200, or 503 with a line for each destination that cannot start, or got nothing from its source for ` + "`canald.ready.limit`" + ` (60 s) |
| ` + "`/instances`" + ` | JSON: of each destination its state, source, position, delays, clients with cursor and lag, memory by stage, last error |
| any other, ` + "`/metrics`" + ` as a rule | the metrics, in Prometheus' text format; ` + "`?name[]=NAME`" + ` asks for some only |

States of a destination: ` + "`starting`" + `; ` + "`running`" + `; ` + "`retrying`" + `, since its first error after which nothing came through, be it connected meanwhile or not; ` + "`parked`" + `, while
its store is full and no client makes room, which ends the dump and is no fault of this server (` + "`/readyz`" + ` stays 200); ` + "`failed`" + `, tried again at intervals; ` + "`waiting`" + `
for a configuration; ` + "`standby`" + `, another server of the cluster runs it or will (` + "`/readyz`" + ` stays 200);
` + "`idle`" + `, it is lazy and no client has asked for it yet (` + "`/readyz`" + ` stays 200); ` + "`no_zookeeper`" + `, nothing is answered without contact.

A page is rendered once a second at most and shared. A destination that does not run here has no samples but its state. Counters of an instance begin anew
when it starts; those of clients last as long as the process. Board and alert rules: ` + "`deploy/grafana`" + `; Canal's own board works as it is.

Differences from Canal: errors 400 carry the destination of the request, not the peer's address; a destination that the server does not know is the empty
label; there are ` + "`go_*`" + ` metrics in place of ` + "`jvm_*`" + `; with several clients, get and ack rows count each of them, and consumed means acknowledged by all.
`

// TestDocument holds docs/METRICS.md against the families; -update writes it.
func TestDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString(intro)
	table := func(title string, list []family) {
		fmt.Fprintf(&b, "\n## %s\n\n| name | type | labels | meaning |\n|---|---|---|---|\n", title)
		for _, f := range list {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.kind, "`"+strings.Join(f.labels, "`, `")+"`", f.help)
		}
	}
	table("Instances, as Canal has them", canalFamilies)
	b.WriteString("\n## Clients and process\n\n| name | type | meaning |\n|---|---|---|\n")
	for _, f := range clientFamilies {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.name, f.kind, f.help)
	}
	b.WriteString("| `process_*`, `go_*` | | what Prometheus' Go client tells of every process |\n")
	table("Instances, besides", ownFamilies)
	table("All destinations of this server", stateFamilies)
	if *update {
		if err := os.WriteFile(document, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != b.String() {
		t.Error("docs/METRICS.md is not what the metrics are; go test ./internal/metrics -run TestDocument -update writes it")
	}
}
