// Package metrics shows what the server does: Canal's metrics with names, labels
// and units as they are, some more, and whether the server is well. It looks on;
// no data passes through it, and a scrape does no I/O.
//
// Goroutines: Run owns the listener and its connections.
package metrics

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/server"
)

// Destination is what is known of a destination that this server should run.
type Destination struct {
	Name   string
	State  string
	Since  time.Time        // of the state
	Err    string           // why it failed; empty otherwise
	Status *instance.Status // when it runs, else nil

	// In a cluster, else empty.
	Role  string // this server's: waiting, standby, leading, suspended
	Epoch int64  // of the lease that this server holds; 0 without one
	Owner string // the address of the server that runs it, as last seen

	now time.Time
}

// Config is what the port serves and to whom. Zero values are off.
type Config struct {
	Addr              string // host:port
	User, Password    string // basic authentication
	CertFile, KeyFile string // PEM; read again when they change
	// ReadyLimit is how long a destination may be without its source while this
	// server counts as ready; 60 s when it is not positive.
	ReadyLimit time.Duration
	Version    string
}

const defaultReadyLimit = time.Minute

// Metrics collects and serves. Its methods may be used by several goroutines.
type Metrics struct {
	cfg          Config
	log          *zap.Logger
	destinations func() []Destination
	registry     *prometheus.Registry

	packets, clientBytes, empty, errors *prometheus.CounterVec
	refused, scrapeErrors               *prometheus.CounterVec
	latency, seconds                    *prometheus.HistogramVec
	connections                         prometheus.Gauge
	authFailures                        prometheus.Counter

	mu struct {
		sync.Mutex
		text   []byte
		packed []byte // the same, compressed; nil before somebody asked for it
		made   time.Time
	}
	known struct {
		sync.Mutex
		names map[string]bool
		read  time.Time
	}
}

// New makes metrics of the destinations that the function lists; it must not block.
func New(cfg Config, destinations func() []Destination, log *zap.Logger) *Metrics {
	if cfg.ReadyLimit <= 0 {
		cfg.ReadyLimit = defaultReadyLimit
	}
	m := &Metrics{cfg: cfg, log: log, destinations: destinations, registry: prometheus.NewRegistry()}
	help := map[string]string{}
	for _, f := range clientFamilies {
		help[f.name] = f.help
	}
	counter := func(name string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help[name]}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help[name], Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	m.packets = counter("canal_instance_client_packets", "destination", "packetType")
	m.clientBytes = counter("canal_instance_client_bytes", "destination")
	m.empty = counter("canal_instance_client_empty_batches", "destination")
	m.errors = counter("canal_instance_client_request_error", "destination", "errorCode")
	m.latency = histogram("canal_instance_client_request_latency", []float64{2.5, 10, 25, 100}, "destination")
	m.seconds = histogram("canal_client_request_seconds", []float64{0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10, 60}, "destination", "type")
	m.refused = counter("canal_client_refused_total", "reason")
	m.connections = prometheus.NewGauge(prometheus.GaugeOpts{Name: "canal_client_connections", Help: help["canal_client_connections"]})
	m.authFailures = prometheus.NewCounter(prometheus.CounterOpts{Name: "canal_client_auth_failures_total", Help: help["canal_client_auth_failures_total"]})
	m.scrapeErrors = counter("canal_scrape_errors_total", "collector")
	for _, c := range []string{collectorDestination, collectorList, collectorProcess} {
		m.scrapeErrors.WithLabelValues(c)
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "canal_build_info", Help: help["canal_build_info"]}, []string{"version", "revision", "go_version"})
	build.WithLabelValues(cfg.Version, revision(), runtime.Version()).Set(1)
	m.registry.MustRegister(m.connections, m.authFailures, build,
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return m
}

// What may fail of a page.
const (
	collectorDestination = "destination" // the figures of one
	collectorList        = "list"        // of all destinations
	collectorProcess     = "process"     // what the client library keeps
)

// revision is the commit that this binary was built from, empty if nobody noted it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// list asks for the destinations. A defect there must cost no client its
// connection and no scrape its page; ok is false then.
func (m *Metrics) list() (all []Destination, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			m.defect(collectorList, p)
			all, ok = nil, false
		}
	}()
	all = m.destinations()
	for i := range all {
		d := &all[i]
		switch s := d.Status; {
		case s == nil || d.State == NoZooKeeper:
		case !s.ParkedSince.IsZero():
			d.State, d.Since = Parked, s.ParkedSince
		case !s.TroubleSince.IsZero(): // also while it is connected once more
			d.State, d.Since = Retrying, s.TroubleSince
		}
	}
	return all, true
}

func (m *Metrics) defect(collector string, what any, fields ...zap.Field) {
	m.scrapeErrors.WithLabelValues(collector).Inc()
	m.log.Error("a part of the metrics cannot be told", append(fields, zap.String("collector", collector), zap.Any("cause", what))...)
}

// Observer is what the server of client connections has to be given.
func (m *Metrics) Observer() *server.Observer {
	return &server.Observer{
		Request:    m.request,
		Opened:     m.connections.Inc,
		Closed:     m.connections.Dec,
		AuthFailed: m.authFailures.Inc,
		Refused:    func(reason string) { m.refused.WithLabelValues(reason).Inc() },
	}
}

// request counts as Canal does, but for the label of errors 400, which is the
// peer's address there.
func (m *Metrics) request(r server.Request) {
	d := m.label(r.Destination)
	millis := float64(r.Latency) / float64(time.Millisecond)
	m.latency.WithLabelValues(d).Observe(millis)
	m.seconds.WithLabelValues(d, r.Type.String()).Observe(r.Latency.Seconds())
	m.clientBytes.WithLabelValues(d).Add(float64(r.Bytes))
	switch {
	case r.Empty:
		m.empty.WithLabelValues(d).Inc()
		return
	case r.Code != 0 && !r.Deferred: // an error that is answered late was counted when it happened
		m.errors.WithLabelValues(d, strconv.Itoa(int(r.Code))).Inc()
	}
	m.packets.WithLabelValues(d, r.Type.String()).Inc()
}

// label is the destination's name if this server knows it: what clients write
// must not make series without end.
func (m *Metrics) label(name string) string {
	const fresh = time.Second
	m.known.Lock()
	defer m.known.Unlock()
	if m.known.names[name] {
		return strings.ToValidUTF8(name, "\uFFFD")
	}
	if name == "" || time.Since(m.known.read) < fresh {
		return ""
	}
	m.known.read = time.Now()
	if m.known.names == nil {
		m.known.names = map[string]bool{}
	}
	all, _ := m.list()
	for _, d := range all {
		m.known.names[d.Name] = true
	}
	if m.known.names[name] {
		return strings.ToValidUTF8(name, "\uFFFD")
	}
	return ""
}

// pageFor is how long a page is shared.
const pageFor = time.Second

// text is the page, rendered at most once in pageFor, as it is or compressed.
func (m *Metrics) text(packed bool) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.text == nil || time.Since(m.mu.made) >= pageFor {
		m.mu.text, m.mu.packed = m.render(), nil
		m.mu.made = time.Now()
	}
	if !packed {
		return m.mu.text
	}
	if m.mu.packed == nil {
		m.mu.packed = pack(m.mu.text)
	}
	return m.mu.packed
}

func (m *Metrics) render() []byte {
	now := time.Now()
	all, _ := m.list()
	var parts []*part
	for i := range all {
		all[i].now = now
		if all[i].Status == nil {
			continue
		}
		if t := m.part(&all[i]); t != nil {
			parts = append(parts, t)
		}
	}
	var p page
	p.Grow((len(parts) + 4) * partBytes)
	for i, f := range instanceFamilies {
		p.header(f.name, f.kind, f.help)
		for _, t := range parts {
			p.Write(t.of(i))
		}
	}
	for _, f := range stateFamilies {
		p.header(f.name, f.kind, f.help)
		for i := range all {
			f.write(&p, &all[i])
		}
	}
	// Gather returns what it has beside an error.
	gathered, err := m.registry.Gather()
	if err != nil {
		m.defect(collectorProcess, err)
	}
	there := map[string]*dto.MetricFamily{}
	for _, f := range gathered {
		there[f.GetName()] = f
	}
	for _, f := range clientFamilies { // the empty ones too, as Canal does
		if g := there[f.name]; g != nil {
			p.gathered(g)
			delete(there, f.name)
		} else {
			p.header(f.name, f.kind, f.help)
		}
	}
	for _, f := range gathered {
		if there[f.GetName()] != nil {
			p.gathered(f)
		}
	}
	return p.Bytes()
}

// instanceFamilies are all of a destination that runs, in the page's order.
var instanceFamilies = slices.Concat(canalFamilies, ownFamilies)

// part holds the samples of one destination, family by family.
type part struct {
	page

	ends []int
}

func (t *part) of(i int) []byte {
	from := 0
	if i > 0 {
		from = t.ends[i-1]
	}
	return t.Bytes()[from:t.ends[i]]
}

// part is nil for a destination whose figures cannot be told without a panic: a
// defect in one must not cost the page.
func (m *Metrics) part(d *Destination) (t *part) {
	defer func() {
		if p := recover(); p != nil {
			m.defect(collectorDestination, p, zap.String("destination", d.Name))
			t = nil
		}
	}()
	t = &part{ends: make([]int, 0, len(instanceFamilies))}
	t.Grow(partBytes)
	for i := range instanceFamilies {
		instanceFamilies[i].write(&t.page, d)
		t.ends = append(t.ends, t.Len())
	}
	return t
}

// partBytes is what a destination with a few clients needs.
const partBytes = 8 << 10
