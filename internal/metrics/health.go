package metrics

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// reasons are why the server is not ready, one for each destination that should
// run and has had no source for longer than the limit.
func (m *Metrics) reasons() []string {
	limit := m.cfg.ReadyLimit
	all, ok := m.list()
	if !ok {
		return []string{"the destinations cannot be listed: this is a defect, and the log tells more"}
	}
	var out []string
	for _, d := range all {
		since, why := d.Since, d.Err
		switch s := d.Status; {
		case d.State == Standby, d.State == Idle:
			continue // others serve, or nobody asks
		case d.State == NoZooKeeper:
		case s == nil && why != "":
		case s == nil && d.State == Waiting:
			why = "it has no configuration yet"
		case s == nil:
			why = "it is starting"
		case !s.ParkedSince.IsZero():
			continue // it waits for its clients, who come to us
		case !s.TroubleSince.IsZero():
			since, why = s.TroubleSince, s.LastError
		case !s.Connected:
			if since, why = s.ConnectedSince, s.LastError; why == "" {
				why = "the source is not connected yet"
			}
		default:
			continue
		}
		// What cannot start stands still by itself; a source may come back.
		if d.State == Failed || d.State == NoZooKeeper || time.Since(since) > limit {
			out = append(out, fmt.Sprintf("%s: %s since %s: %s", d.Name, d.State, since.Format(time.RFC3339), strings.ReplaceAll(why, "\n", "; ")))
		}
	}
	return out
}

// The form of /instances.
type (
	instanceJSON struct {
		Destination string `json:"destination"`
		State       string `json:"state"`
		Since       string `json:"since"`
		Error       string `json:"error,omitempty"`
		Role        string `json:"role,omitempty"`
		Epoch       int64  `json:"epoch,omitempty"`
		Owner       string `json:"owner,omitempty"`

		Source   *sourceJSON   `json:"source,omitempty"`
		Pipeline *pipelineJSON `json:"pipeline,omitempty"`
		Clients  []clientJSON  `json:"clients,omitempty"`
	}
	sourceJSON struct {
		Address           string  `json:"address"`
		Version           string  `json:"version,omitempty"`
		SlaveID           uint32  `json:"slave_id"`
		Connected         bool    `json:"connected"`
		ConnectedSince    string  `json:"connected_since"`
		Position          string  `json:"position"`
		LastEvent         string  `json:"last_event,omitempty"`
		LastHeartbeat     string  `json:"last_heartbeat,omitempty"`
		DelaySeconds      float64 `json:"delay_seconds"`
		ClockSkewSeconds  float64 `json:"clock_skew_seconds"`
		ReceivedBytes     int64   `json:"received_bytes"`
		Dumps             int64   `json:"dumps"`
		LastError         string  `json:"last_error,omitempty"`
		LastErrorAt       string  `json:"last_error_at,omitempty"`
		WaitedForWorkersS float64 `json:"waited_for_workers_seconds"`
	}
	pipelineJSON struct {
		ChunksInFlight     int     `json:"chunks_in_flight"`
		StoreEntries       int64   `json:"store_entries"`
		StoreBytes         int64   `json:"store_bytes"`
		StoreCapacity      int     `json:"store_capacity_entries"`
		StoreCapacityBytes int64   `json:"store_capacity_bytes"`
		WaitedForStoreS    float64 `json:"waited_for_store_seconds"`
		PutRows            int64   `json:"put_rows"`
		GetRows            int64   `json:"get_rows"`
		AckRows            int64   `json:"ack_rows"`
		Transactions       int64   `json:"transactions"`
		CursorsSaved       string  `json:"cursors_saved,omitempty"`
		CursorErrors       int64   `json:"cursor_errors"`
	}
	clientJSON struct {
		ID          int16   `json:"client_id"`
		Filter      string  `json:"filter,omitempty"`
		Cursor      string  `json:"cursor"`
		Attached    bool    `json:"attached"` // the store holds entries for it
		LagSeconds  float64 `json:"lag_seconds"`
		Unread      int64   `json:"unread_entries"`
		Outstanding int     `json:"outstanding_batches"`
		LastCall    string  `json:"last_call,omitempty"`
		Rollbacks   int64   `json:"rollbacks"`
	}
)

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

func (m *Metrics) instances() ([]byte, error) {
	now := time.Now()
	list := []instanceJSON{}
	all, ok := m.list()
	if !ok {
		return nil, errors.New("the destinations cannot be listed")
	}
	for _, d := range all {
		j := instanceJSON{Destination: d.Name, State: d.State, Since: stamp(d.Since), Error: d.Err, Role: d.Role, Epoch: d.Epoch, Owner: d.Owner}
		if s := d.Status; s != nil {
			position := ""
			if s.File != "" {
				position = fmt.Sprintf("%s:%d", s.File, s.Offset)
			}
			j.Source = &sourceJSON{
				Address: s.Source, Version: s.Version, SlaveID: s.ServerID, Connected: s.Connected, ConnectedSince: stamp(s.ConnectedSince), Position: position,
				LastEvent: stamp(s.LastEvent), LastHeartbeat: stamp(s.LastHeartbeat), DelaySeconds: s.Delay.Seconds(), ClockSkewSeconds: s.ClockSkew.Seconds(),
				ReceivedBytes: s.Received, Dumps: s.Dumps, LastError: s.LastError, LastErrorAt: stamp(s.LastErrorAt), WaitedForWorkersS: s.FreeBlocked.Seconds(),
			}
			j.Pipeline = &pipelineJSON{
				ChunksInFlight: s.InFlight, StoreEntries: s.Store.Entries, StoreBytes: s.Store.Bytes, StoreCapacity: s.Store.Slots, StoreCapacityBytes: s.Store.Capacity,
				WaitedForStoreS: s.Store.Blocked.Seconds(), PutRows: s.Store.Rows.Put, GetRows: s.Store.Rows.Get, AckRows: s.Store.Rows.Ack,
				Transactions: s.Transactions, CursorsSaved: stamp(s.Flushes.Last), CursorErrors: s.Flushes.Errors,
			}
			for _, c := range s.Clients {
				j.Clients = append(j.Clients, clientJSON{
					ID: int16(c.ID), Filter: c.Filter, Cursor: c.Cursor.String(), Attached: c.Known, LagSeconds: s.Lag(&c, now).Seconds(), Unread: c.Store.Unread, Outstanding: c.Store.Outstanding,
					LastCall: stamp(c.Store.Active), Rollbacks: c.Store.Rollbacks,
				})
			}
		}
		list = append(list, j)
	}
	return json.MarshalIndent(list, "", "  ")
}
