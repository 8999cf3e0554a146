// Package metrics shows what the server does: Canal's metrics with names, labels
// and units as they are, some more, and whether the server is well. It looks on;
// no data passes through it, and a scrape does no I/O.
//
// Goroutines: Run owns the listener and its connections.
package metrics

import (
	"runtime"
	"strconv"
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

	now time.Time
}

// Config is what the port serves and to whom. Zero values are off.
type Config struct {
	Addr              string // host:port
	User, Password    string // basic authentication
	CertFile, KeyFile string // PEM; read again when they change
	ReadyLimit        time.Duration
	Version           string
}

// Metrics collects and serves. Its methods may be used by several goroutines.
type Metrics struct {
	cfg          Config
	log          *zap.Logger
	destinations func() []Destination
	registry     *prometheus.Registry

	packets, clientBytes, empty, errors *prometheus.CounterVec
	latency, seconds                    *prometheus.HistogramVec
	connections                         prometheus.Gauge
	authFailures, scrapeErrors          prometheus.Counter
	refused                             *prometheus.CounterVec

	mu struct {
		sync.Mutex
		text []byte
		made time.Time
	}
	known struct {
		sync.Mutex
		names map[string]bool
		read  time.Time
	}
}

// New makes metrics of the destinations that the function lists; it must not block.
func New(cfg Config, destinations func() []Destination, log *zap.Logger) *Metrics {
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
	m.scrapeErrors = prometheus.NewCounter(prometheus.CounterOpts{Name: "canal_scrape_errors_total", Help: help["canal_scrape_errors_total"]})
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "canal_build_info", Help: help["canal_build_info"]}, []string{"version", "go_version"})
	build.WithLabelValues(cfg.Version, runtime.Version()).Set(1)
	m.registry.MustRegister(m.connections, m.authFailures, m.scrapeErrors, build,
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return m
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
	case r.Code != 0:
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
		return name
	}
	if name == "" || time.Since(m.known.read) < fresh {
		return ""
	}
	m.known.read = time.Now()
	if m.known.names == nil {
		m.known.names = map[string]bool{}
	}
	for _, d := range m.destinations() {
		m.known.names[d.Name] = true
	}
	if m.known.names[name] {
		return name
	}
	return ""
}

// pageFor is how long a page is shared.
const pageFor = time.Second

// text is the page, rendered at most once in pageFor.
func (m *Metrics) text() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.text != nil && time.Since(m.mu.made) < pageFor {
		return m.mu.text, nil
	}
	text, err := m.render()
	if err != nil {
		return nil, err
	}
	m.mu.text, m.mu.made = text, time.Now()
	return text, nil
}

func (m *Metrics) render() ([]byte, error) {
	now := time.Now()
	all := m.destinations()
	var running []*Destination
	for i := range all {
		all[i].now = now
		if all[i].Status != nil {
			running = append(running, &all[i])
		}
	}
	running = m.sound(running)
	var p page
	for _, families := range [][]family{canalFamilies, ownFamilies} {
		for _, f := range families {
			p.family(f, running)
		}
	}
	states := make([]*Destination, len(all))
	for i := range all {
		states[i] = &all[i]
	}
	for _, f := range stateFamilies {
		p.family(f, states)
	}
	gathered, err := m.registry.Gather()
	if err != nil {
		return nil, err
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
	return p.Bytes(), nil
}

func (p *page) family(f family, of []*Destination) {
	p.header(f.name, f.kind, f.help)
	for _, d := range of {
		f.collect(d, func(v float64, values ...string) { p.sample(f.name, f.labels, values, v) })
	}
}

// sound leaves out destinations whose figures cannot be told without a panic:
// a defect in one must not cost the page.
func (m *Metrics) sound(of []*Destination) []*Destination {
	kept := of[:0]
	for _, d := range of {
		if m.tells(d) {
			kept = append(kept, d)
		}
	}
	return kept
}

func (m *Metrics) tells(d *Destination) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			m.scrapeErrors.Inc()
			m.log.Error("metrics of a destination cannot be told", zap.String("destination", d.Name), zap.Any("panic", p))
		}
	}()
	for _, families := range [][]family{canalFamilies, ownFamilies} {
		for _, f := range families {
			f.collect(d, func(float64, ...string) {})
		}
	}
	return true
}
