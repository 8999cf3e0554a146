package main

import (
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/metrics"
)

// destinations tells the metrics what the host runs.
func destinations(host *instance.Host, cl *cluster) []metrics.Destination {
	hosted := host.Destinations()
	out := make([]metrics.Destination, len(hosted))
	for i, h := range hosted {
		d := metrics.Destination{Name: h.Destination, State: string(h.State), Since: h.Since}
		if h.Err != nil {
			d.Err = h.Err.Error()
		}
		if h.Instance != nil {
			if s, ok := h.Instance.Status(); ok {
				d.Status = &s
				switch {
				case s.Connected:
					d.State = metrics.Running
				case s.LastErrorAt.IsZero():
					d.State = metrics.Starting
				default:
					d.State = metrics.Retrying
				}
				d.Since = s.ConnectedSince
			}
		}
		if cl != nil {
			cl.describe(&d)
		}
		out[i] = d
	}
	return out
}
