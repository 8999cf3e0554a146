package metrics

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/meta"
)

// family is one metric of a destination. Names, labels and units of those that
// begin with canal_instance are Canal's and never change.
type family struct {
	name   string
	kind   string // gauge, counter or histogram
	labels []string
	help   string
	// collect gives the samples of one destination. Instance metrics get a
	// destination that runs.
	collect emitting
	// saves is set instead of collect for the one histogram.
	saves func(s *instance.Status) meta.Flushes
}

// parser is Canal's label of the one source that an instance has.
const parser = "0"

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// age is how long ago a time in ms was, in ms, at least 0.
func age(now time.Time, millis int64) float64 { return float64(max(0, now.UnixMilli()-millis)) }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// unixSeconds is 0 for a time that never was.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// delays are Canal's marks of put, get and ack, each at most the one before.
func delays(s *instance.Status) (put, get, ack int64) {
	put = s.Store.Marks.Put
	get = min(s.Store.Marks.Get, put)
	ack = min(s.Store.Marks.Ack, get)
	return put, get, ack
}

// emitter writes one sample; the values of the labels are in the family's order.
type emitter func(v float64, labels ...string)

type emitting func(d *Destination, emit emitter)

// write adds the samples of one destination to the page.
func (f *family) write(p *page, d *Destination) {
	if f.saves != nil {
		p.saves(f.name, f.labels, []string{d.Name}, f.saves(d.Status))
		return
	}
	f.collect(d, func(v float64, values ...string) { p.sample(f.name, f.labels, values, v) })
}

// one makes a family of one sample without labels but the destination.
func one(name, kind, help string, value func(s *instance.Status, now time.Time) float64) family {
	return of(name, kind, []string{"destination"}, help, func(d *Destination, emit emitter) {
		emit(value(d.Status, d.now), d.Name)
	})
}

func of(name, kind string, labels []string, help string, collect emitting) family {
	return family{name: name, kind: kind, labels: labels, help: help, collect: collect}
}

// ofClient makes a family of one sample for each client.
func ofClient(name, kind, help string, value func(d *Destination, c *instance.ClientStatus) float64) family {
	return of(name, kind, []string{"destination", "client_id"}, help, func(d *Destination, emit emitter) {
		for n := range d.Status.Clients {
			c := &d.Status.Clients[n]
			emit(value(d, c), d.Name, strconv.Itoa(int(c.ID)))
		}
	})
}

func ofParser(name, kind, help string, value func(s *instance.Status) float64) family {
	return of(name, kind, []string{"destination", "parser"}, help, func(d *Destination, emit emitter) {
		emit(value(d.Status), d.Name, parser)
	})
}

// memory makes a family that only a store of bytes has.
func memory(name, help string, value func(s *instance.Status) int64) family {
	return of(name, "counter", []string{"destination"}, help, func(d *Destination, emit emitter) {
		if !d.Status.Store.ItemMode {
			emit(float64(value(d.Status)), d.Name)
		}
	})
}

// canalFamilies are those of metrics that Canal has too.
var canalFamilies = []family{
	of("canal_instance", "gauge", []string{"destination", "mode"}, "1 for each destination that runs here", func(d *Destination, emit emitter) {
		emit(1, d.Name, "spring")
	}),
	one("canal_instance_subscriptions", "gauge", "clients that subscribed", func(s *instance.Status, _ time.Time) float64 { return float64(len(s.Clients)) }),
	of("canal_instance_parser_mode", "gauge", []string{"destination", "parallel"}, "1; parallel says whether several workers are used", func(d *Destination, emit emitter) {
		emit(1, d.Name, strconv.FormatBool(d.Status.Workers > 1))
	}),
	ofParser("canal_instance_received_binlog_bytes", "counter", "bytes of binlog events received, searches included", func(s *instance.Status) float64 { return float64(s.Received) }),
	ofParser("canal_instance_publish_blocking_time", "counter", "ms that the reader waited for the workers", func(s *instance.Status) float64 { return ms(s.FreeBlocked) }),
	one("canal_instance_sink_blocking_time", "counter", "ms that a full store was waited for", func(s *instance.Status, _ time.Time) float64 { return ms(s.Store.Blocked) }),
	one("canal_instance_traffic_delay", "gauge", "ms since the event time of what was handed to the store last, or since the last heartbeat", func(s *instance.Status, now time.Time) float64 {
		return age(now, s.Traffic.UnixMilli())
	}),
	one("canal_instance_transactions", "counter", "transaction ends handed to the store", func(s *instance.Status, _ time.Time) float64 { return float64(s.Transactions) }),
	of("canal_instance_store", "gauge", []string{"destination", "batchMode", "size"}, "1; what the store counts and how many entries it holds", func(d *Destination, emit emitter) {
		mode := "MEMSIZE"
		if d.Status.Store.ItemMode {
			mode = "ITEMSIZE"
		}
		emit(1, d.Name, mode, strconv.Itoa(d.Status.Store.Slots))
	}),
	one("canal_instance_store_produce_seq", "counter", "number of the entry put last, from 0; -1 before", func(s *instance.Status, _ time.Time) float64 { return float64(s.Store.Put - 1) }),
	one("canal_instance_store_consume_seq", "counter", "number of the last entry that all clients acknowledged; -1 before", func(s *instance.Status, _ time.Time) float64 { return float64(s.Store.Freed - 1) }),
	memory("canal_instance_store_produce_mem", "bytes of entries ever put", func(s *instance.Status) int64 { return s.Store.PutBytes }),
	memory("canal_instance_store_consume_mem", "bytes of entries that all clients acknowledged", func(s *instance.Status) int64 { return s.Store.FreedBytes }),
	one("canal_instance_put_rows", "counter", "rows put into the store", func(s *instance.Status, _ time.Time) float64 { return float64(s.Store.Rows.Put) }),
	one("canal_instance_get_rows", "counter", "rows handed out, again after a rollback, to each client", func(s *instance.Status, _ time.Time) float64 { return float64(s.Store.Rows.Get) }),
	one("canal_instance_ack_rows", "counter", "rows acknowledged, by each client", func(s *instance.Status, _ time.Time) float64 { return float64(s.Store.Rows.Ack) }),
	one("canal_instance_put_delay", "gauge", "ms since the event time of what was put last; grows while the source is idle", func(s *instance.Status, now time.Time) float64 {
		put, _, _ := delays(s)
		return age(now, put)
	}),
	one("canal_instance_get_delay", "gauge", "ms since the event time of what was handed out last; grows while the source is idle", func(s *instance.Status, now time.Time) float64 {
		_, get, _ := delays(s)
		return age(now, get)
	}),
	one("canal_instance_ack_delay", "gauge", "ms since the event time of what was acknowledged last; grows while the source is idle", func(s *instance.Status, now time.Time) float64 {
		_, _, ack := delays(s)
		return age(now, ack)
	}),
}

// States of a destination on this server, for canal_destination_state.
const (
	Starting = "starting"
	Running  = "running"
	Retrying = "retrying" // it runs, and nothing comes from its source
	Parked   = "parked"   // it runs, and rests because its clients take nothing
	Failed   = "failed"
	Waiting  = "waiting" // for its configuration
	Standby  = "standby" // another server of the cluster runs it, or will
	Idle     = "idle"    // it is lazy, and no client has asked for it yet

	NoZooKeeper = "no_zookeeper" // nothing is answered: it may be another's by now
)

var states = []string{Starting, Running, Retrying, Parked, Failed, Waiting, Standby, Idle, NoZooKeeper}

// ownFamilies are additions of ours, of destinations that run.
var ownFamilies = []family{
	ofParser("canal_source_connected", "gauge", "1 while the binlog is read", func(s *instance.Status) float64 { return truth(s.Connected) }),
	ofParser("canal_source_reconnects_total", "counter", "dumps that were begun after the first", func(s *instance.Status) float64 { return float64(max(0, s.Dumps-1)) }),
	of("canal_source_errors_total", "counter", []string{"destination", "parser", "reason"}, "errors of the source", func(d *Destination, emit emitter) {
		for _, reason := range slices.Sorted(maps.Keys(d.Status.Errors)) {
			emit(float64(d.Status.Errors[reason]), d.Name, parser, reason)
		}
	}),
	ofParser("canal_source_last_event_timestamp_seconds", "gauge", "event time of the last event, by the source's clock; 0 before the first", func(s *instance.Status) float64 { return unixSeconds(s.LastEvent) }),
	ofParser("canal_source_last_heartbeat_timestamp_seconds", "gauge", "when the source last said that it has nothing more; 0 before", func(s *instance.Status) float64 { return unixSeconds(s.LastHeartbeat) }),
	ofParser("canal_source_position_bytes", "gauge", "offset behind the last event in its file", func(s *instance.Status) float64 { return float64(s.Offset) }),
	ofParser("canal_source_binlog_file_index", "gauge", "number of that file", func(s *instance.Status) float64 { return float64(s.FileNumber()) }),
	ofParser("canal_source_clock_skew_seconds", "gauge", "the source's clock before this host's, to half a second", func(s *instance.Status) float64 { return s.ClockSkew.Seconds() }),
	ofParser("canal_source_delay_seconds", "gauge", "from a change at the source to its arrival here, by the source's clock; 0 once the source has nothing more", func(s *instance.Status) float64 { return s.Delay.Seconds() }),
	ofClient("canal_ack_lag_seconds", "gauge", "age in seconds of the oldest change that the client has not acknowledged, by the source's clock; 0 when there is none", func(d *Destination, c *instance.ClientStatus) float64 {
		return d.Status.Lag(c, d.now).Seconds()
	}),
	ofClient("canal_client_outstanding_batches", "gauge", "batches handed out and not yet acknowledged", func(_ *Destination, c *instance.ClientStatus) float64 {
		return float64(c.Store.Outstanding)
	}),
	ofClient("canal_client_unread_events", "gauge", "entries in the store that were not handed out to the client", func(_ *Destination, c *instance.ClientStatus) float64 {
		return float64(c.Store.Unread)
	}),
	ofClient("canal_rollbacks_total", "counter", "rollbacks that gave batches back", func(_ *Destination, c *instance.ClientStatus) float64 {
		return float64(c.Store.Rollbacks)
	}),
	ofClient("canal_redelivered_rows_total", "counter", "rows that rollbacks made to be handed out again", func(_ *Destination, c *instance.ClientStatus) float64 {
		return float64(c.Store.AgainRows)
	}),
	one("canal_pipeline_chunks", "gauge", "chunks of events between the reader and the store", func(s *instance.Status, _ time.Time) float64 { return float64(s.InFlight) }),
	one("canal_store_events", "gauge", "entries in the store", func(s *instance.Status, _ time.Time) float64 { return float64(s.Store.Entries) }),
	one("canal_store_bytes", "gauge", "bytes in the store, as Canal counts them", func(s *instance.Status, _ time.Time) float64 { return float64(s.Store.Bytes) }),
	one("canal_store_capacity_events", "gauge", "entries that fit", func(s *instance.Status, _ time.Time) float64 { return float64(s.Store.Slots) }),
	one("canal_store_capacity_bytes", "gauge", "bytes that fit", func(s *instance.Status, _ time.Time) float64 { return float64(s.Store.Capacity) }),
	of("canal_events_total", "counter", []string{"destination", "type"}, "entries that came from the source", func(d *Destination, emit emitter) {
		for _, kind := range slices.Sorted(maps.Keys(d.Status.Events)) {
			emit(float64(d.Status.Events[kind]), d.Name, kind)
		}
	}),
	of("canal_filtered_events_total", "counter", []string{"destination", "reason"}, "events that were left out: rows of a table that is not wanted (table) or of a kind that is not (row_kind), statements, empty transactions, and begin and end entries (marker)", func(d *Destination, emit emitter) {
		for _, reason := range slices.Sorted(maps.Keys(d.Status.Filtered)) {
			emit(float64(d.Status.Filtered[reason]), d.Name, reason)
		}
	}),
	one("canal_transactions_seen_total", "counter", "transaction ends that came, filtered ones included", func(s *instance.Status, _ time.Time) float64 { return float64(s.Seen) }),
	{name: "canal_cursor_flush_seconds", kind: "histogram", labels: []string{"destination"}, help: "seconds that a save of the cursors took", saves: func(s *instance.Status) meta.Flushes { return s.Flushes }},
	one("canal_cursor_flush_errors_total", "counter", "saves of the cursors that failed", func(s *instance.Status, _ time.Time) float64 { return float64(s.Flushes.Errors) }),
	one("canal_cursor_last_flush_timestamp_seconds", "gauge", "when the cursors were last saved; 0 before", func(s *instance.Status, _ time.Time) float64 { return unixSeconds(s.Flushes.Last) }),
}

// stateFamilies exist for every destination of this server, running or not.
var stateFamilies = []family{
	of("canal_destination_state", "gauge", []string{"destination", "state"}, "1 for the state that the destination is in", func(d *Destination, emit emitter) {
		for _, s := range states {
			emit(truth(d.State == s), d.Name, s)
		}
	}),
	of("canal_destination_lease_epoch", "gauge", []string{"destination"}, "number of the lease with which this server runs the destination in a cluster, larger than all before; 0 without one", func(d *Destination, emit emitter) {
		emit(float64(d.Epoch), d.Name)
	}),
}

// clientFamilies are kept by the process, whatever its instances do.
var clientFamilies = []struct{ name, kind, help string }{
	{"canal_instance_client_packets", "counter", "requests that were answered; empty gets are not counted"},
	{"canal_instance_client_bytes", "counter", "bytes sent to clients; 4 for a request without an answer"},
	{"canal_instance_client_empty_batches", "counter", "gets that had nothing to hand out"},
	{"canal_instance_client_request_error", "counter", "requests that ended with an error, by its code"},
	{"canal_instance_client_request_latency", "histogram", "ms from a request to its answer, the wait for data included"},
	{"canal_client_request_seconds", "histogram", "seconds from a request to its answer, the wait for data included"},
	{"canal_client_connections", "gauge", "open client connections"},
	{"canal_client_auth_failures_total", "counter", "logins that were refused"},
	{"canal_client_refused_total", "counter", "connections that were ended for what they did, by reason"},
	{"canal_build_info", "gauge", "1; version, revision and go_version say what runs"},
	{"canal_scrape_errors_total", "counter", "what was left out of a page because of a defect, by collector: destination, list, process"},
}
