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
	m := New(Config{}, nil, zap.NewNop())
	kept := m.sound([]*Destination{&bad, &good})
	if len(kept) != 1 || kept[0] != &good {
		t.Errorf("kept %v", kept)
	}
	m.destinations = func() []Destination { return nil }
	text, err := m.text()
	if err != nil || !strings.Contains(string(text), "\ncanal_scrape_errors_total 1\n") {
		t.Errorf("%v\n%s", err, text)
	}
}
