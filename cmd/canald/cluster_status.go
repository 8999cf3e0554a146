package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/election"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/zkconn"
)

// The states of a destination, as cluster status shows them.
const (
	stateRunning   = "running"
	stateReleasing = "releasing" // its owner has the order to give it away
	stateNobody    = "nobody"    // no server runs it
	stateBlocked   = "blocked"   // the running node is persistent: nobody can run it
)

// clusterStatus is what cluster status shows. Its JSON form is for programs:
// names are kept.
type clusterStatus struct {
	Destinations []destinationStatus `json:"destinations"`
	Servers      []serverStatus      `json:"servers"`
}

type destinationStatus struct {
	Name      string         `json:"name"`
	State     string         `json:"state"`
	Owner     string         `json:"owner"`
	OwnerKind string         `json:"owner_kind"` // canald or java; empty without an owner
	Session   string         `json:"session"`
	Epoch     int64          `json:"epoch"`
	Next      string         `json:"next"`
	Members   []string       `json:"members"`
	Clients   []clientStatus `json:"clients"`
	Problem   string         `json:"problem"` // why the clients cannot be shown
}

type clientStatus struct {
	ID       int    `json:"id"`
	Filter   string `json:"filter"`
	File     string `json:"file"`
	Position uint64 `json:"position"`
	GTID     string `json:"gtid"`
	Time     string `json:"time"` // of the event there, RFC 3339; empty when it is not known
	// LagSeconds is how old the oldest change is that the client has not
	// acknowledged, as the owner told at LagAt; nil when it tells nothing.
	LagSeconds *float64 `json:"lag_seconds"`
	LagAt      string   `json:"lag_at"`
}

type serverStatus struct {
	Address    string `json:"address"`
	Kind       string `json:"kind"`
	Registered bool   `json:"registered"`
	Drained    bool   `json:"drained"`
	Runs       int    `json:"runs"`
	MemberOf   int    `json:"member_of"`
}

func clusterStatusCommand(tree *treeOptions) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show who runs what, by ZooKeeper's tree alone",
		Long: "status reads the tree and changes nothing. It needs no server, and shows Java servers too. A destination's epoch grows with each\n" +
			"change of its owner; a client's cursor is what was saved last; its lag, the age of the oldest change\n" +
			"that it has not acknowledged, is what a canald that runs the destination tells every five seconds.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return tree.with(cmd.Context(), true, func(ctx context.Context, conn *zkconn.Conn) error {
				s, err := readCluster(ctx, conn)
				if err != nil {
					return err
				}
				if !asJSON {
					return s.writeText(cmd.OutOrStdout())
				}
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(s)
			})
		},
	}
	tree.flag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func kind(canald bool) string {
	if canald {
		return "canald"
	}
	return "java"
}

func readCluster(ctx context.Context, conn *zkconn.Conn) (*clusterStatus, error) {
	s := &clusterStatus{Destinations: []destinationStatus{}, Servers: []serverStatus{}}
	all, drained, err := lookAll(ctx, conn)
	if err != nil {
		return nil, err
	}
	servers := map[string]*serverStatus{}
	server := func(address string, canald bool) *serverStatus {
		if servers[address] == nil {
			servers[address] = &serverStatus{Address: address, Kind: kind(canald)}
		}
		return servers[address]
	}
	registered, err := election.Servers(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("servers: %w", err)
	}
	for _, m := range registered {
		server(m.Address, m.Canald).Registered = true
	}
	for _, l := range all {
		d := describeStanding(l)
		for _, m := range l.Members {
			server(m.Address, m.Canald).MemberOf++
		}
		if l.Owner != "" {
			server(l.Owner, l.Canald).Runs++
		}
		if err := d.readClients(ctx, conn); err != nil {
			d.Problem = err.Error()
		}
		d.readLag(ctx, conn)
		s.Destinations = append(s.Destinations, d)
	}
	for _, address := range drained {
		server(address, true).Drained = true
	}
	for _, v := range servers {
		s.Servers = append(s.Servers, *v)
	}
	slices.SortFunc(s.Servers, func(a, b serverStatus) int { return strings.Compare(a.Address, b.Address) })
	return s, nil
}

func describeStanding(l election.Standing) destinationStatus {
	d := destinationStatus{Name: l.Destination, State: stateNobody, Owner: l.Owner, Epoch: l.Epoch, Next: l.Next, Members: []string{}, Clients: []clientStatus{}}
	for _, m := range l.Members {
		d.Members = append(d.Members, m.Address)
	}
	switch {
	case !l.Running:
		return d
	case l.Session == 0:
		d.State = stateBlocked
		return d
	case l.Releasing:
		d.State = stateReleasing
	default:
		d.State = stateRunning
	}
	d.OwnerKind, d.Session = kind(l.Canald), fmt.Sprintf("0x%x", uint64(l.Session))
	return d
}

// readClients reads the cursors as the next owner would.
func (d *destinationStatus) readClients(ctx context.Context, conn *zkconn.Conn) error {
	state, err := meta.NewZooKeeper(conn, nil, &meta.Recall{}, zap.NewNop()).Load(ctx, d.Name)
	if err != nil {
		return err
	}
	for _, c := range state.Clients {
		s := clientStatus{ID: int(c.ID)}
		if c.Filter != nil {
			s.Filter = *c.Filter
		}
		if c.Cursor != nil {
			p := c.Cursor.Position
			s.File, s.Position, s.GTID = p.File, p.Offset, p.GTID
			if p.Timestamp > 0 {
				s.Time = time.UnixMilli(p.Timestamp).UTC().Format(time.RFC3339)
			}
		}
		d.Clients = append(d.Clients, s)
	}
	return nil
}

func (s *clusterStatus) writeText(w io.Writer) error {
	now := time.Now()
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(cells ...any) {
		_, _ = fmt.Fprintln(t, strings.TrimRight(fmt.Sprintf(strings.Repeat("%v\t", len(cells)), cells...), "\t"))
	}
	line("DESTINATION", "STATE", "OWNER", "KIND", "EPOCH", "MEMBERS")
	for _, d := range s.Destinations {
		state := d.State
		if d.Next != "" && d.Next != d.Owner {
			state += ", next " + d.Next
		}
		line(d.Name, state, orDash(d.Owner), orDash(d.OwnerKind), d.Epoch, orDash(strings.Join(d.Members, ",")))
	}
	line("")
	line("DESTINATION", "CLIENT", "CURSOR", "TIME", "LAG", "FILTER")
	for _, d := range s.Destinations {
		for _, c := range d.Clients {
			cursor := ""
			if c.File != "" {
				cursor = fmt.Sprintf("%s:%d", c.File, c.Position)
			}
			line(d.Name, c.ID, orDash(cursor), orDash(c.Time), c.lag(now), orDash(c.Filter))
		}
		if d.Problem != "" {
			line(d.Name, d.Problem)
		}
	}
	line("")
	line("SERVER", "KIND", "RUNS", "MEMBER OF", "STATE")
	for _, v := range s.Servers {
		state := "registered"
		switch {
		case !v.Registered && v.Drained:
			state = "away, drained"
		case !v.Registered:
			state = "away"
		case v.Drained:
			state = "drained"
		}
		line(v.Address, v.Kind, v.Runs, v.MemberOf, state)
	}
	return t.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
