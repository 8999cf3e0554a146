package metrics

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/canald/canald/internal/meta"
)

// contentType is that of Prometheus' text format, which is all that Canal speaks.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// page writes the text format. Bounds of histograms are written as Java writes
// a double, 10.0 and not 10, because boards and rules select by them.
type page struct{ bytes.Buffer }

var (
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func (p *page) header(name, kind, help string) {
	p.WriteString("# HELP ")
	p.WriteString(name)
	p.WriteByte(' ')
	_, _ = escapeHelp.WriteString(p, help)
	p.WriteString("\n# TYPE ")
	p.WriteString(name)
	p.WriteByte(' ')
	p.WriteString(kind)
	p.WriteByte('\n')
}

func (p *page) sample(name string, labels, values []string, v float64) {
	p.WriteString(name)
	for i, l := range labels {
		if i == 0 {
			p.WriteByte('{')
		} else {
			p.WriteByte(',')
		}
		p.WriteString(l)
		p.WriteString(`="`)
		// Prometheus refuses the whole page for one byte that is no UTF-8.
		_, _ = escapeLabel.WriteString(p, strings.ToValidUTF8(values[i], "\uFFFD"))
		p.WriteByte('"')
	}
	if len(labels) > 0 {
		p.WriteByte('}')
	}
	p.WriteByte(' ')
	p.Write(strconv.AppendFloat(p.AvailableBuffer(), v, 'g', -1, 64))
	p.WriteByte('\n')
}

// bound is a bucket's bound as Java writes it.
func bound(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// gathered writes a family that the client library keeps.
func (p *page) gathered(f *dto.MetricFamily) {
	kind := strings.ToLower(f.GetType().String())
	p.header(f.GetName(), kind, f.GetHelp())
	for _, m := range f.GetMetric() {
		var labels, values []string
		for _, l := range m.GetLabel() {
			labels, values = append(labels, l.GetName()), append(values, l.GetValue())
		}
		switch {
		case m.Counter != nil:
			p.sample(f.GetName(), labels, values, m.Counter.GetValue())
		case m.Gauge != nil:
			p.sample(f.GetName(), labels, values, m.Gauge.GetValue())
		case m.Untyped != nil:
			p.sample(f.GetName(), labels, values, m.Untyped.GetValue())
		case m.Summary != nil:
			for _, q := range m.Summary.GetQuantile() {
				p.sample(f.GetName(), append(slices.Clone(labels), "quantile"), append(slices.Clone(values), strconv.FormatFloat(q.GetQuantile(), 'g', -1, 64)), q.GetValue())
			}
			p.sample(f.GetName()+"_sum", labels, values, m.Summary.GetSampleSum())
			p.sample(f.GetName()+"_count", labels, values, float64(m.Summary.GetSampleCount()))
		case m.Histogram != nil:
			p.histogram(f.GetName(), labels, values, m.Histogram)
		}
	}
}

func (p *page) histogram(name string, labels, values []string, h *dto.Histogram) {
	withBound := append(slices.Clone(labels), "le")
	bucket := func(le string, n uint64) {
		p.sample(name+"_bucket", withBound, append(slices.Clone(values), le), float64(n))
	}
	for _, b := range h.GetBucket() {
		if !math.IsInf(b.GetUpperBound(), 1) {
			bucket(bound(b.GetUpperBound()), b.GetCumulativeCount())
		}
	}
	bucket("+Inf", h.GetSampleCount())
	p.sample(name+"_sum", labels, values, h.GetSampleSum())
	p.sample(name+"_count", labels, values, float64(h.GetSampleCount()))
}

// saves writes the histogram of saves of cursors.
func (p *page) saves(name string, labels, values []string, f meta.Flushes) {
	withBound := append(slices.Clone(labels), "le")
	for i, b := range meta.FlushBounds {
		p.sample(name+"_bucket", withBound, append(slices.Clone(values), bound(b.Seconds())), float64(f.Within[i]))
	}
	p.sample(name+"_bucket", withBound, append(slices.Clone(values), "+Inf"), float64(f.Count))
	p.sample(name+"_sum", labels, values, f.Took.Seconds())
	p.sample(name+"_count", labels, values, float64(f.Count))
}

// only keeps the samples of the names asked for, with the headers of their families.
func only(text []byte, names []string) []byte {
	var out bytes.Buffer
	var header []byte
	for line := range bytes.Lines(text) {
		if line[0] == '#' {
			if bytes.HasPrefix(line, []byte("# HELP")) {
				header = header[:0]
			}
			header = append(header, line...)
			continue
		}
		end := bytes.IndexAny(line, "{ ")
		if end > 0 && slices.Contains(names, string(line[:end])) {
			out.Write(header)
			header = header[:0]
			out.Write(line)
		}
	}
	return out.Bytes()
}
