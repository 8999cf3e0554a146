package metrics

import (
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/instance"
)

// TestDefect: a destination whose figures panic costs only its own samples.
func TestDefect(t *testing.T) {
	good := Destination{Name: "good", State: Running, Status: &instance.Status{}}
	bad := Destination{Name: "bad", State: Running}
	m := New(Config{}, func() []Destination { return []Destination{good} }, zap.NewNop())
	if m.part(&bad) != nil || m.part(&good) == nil {
		t.Error("a destination without figures has some, or one with figures has none")
	}
	text := string(m.text(false))
	for _, sample := range []string{"\ncanal_scrape_errors_total{collector=\"destination\"} 1\n", "\ncanal_instance{destination=\"good\""} {
		if !strings.Contains(text, sample) {
			t.Errorf("there is no %q", sample)
		}
	}
}
