package election

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/canald/canald/internal/zkconn"
)

// Reader is what those need who only look; it is zkconn.Conn's part.
type Reader interface {
	Get(ctx context.Context, path string) (zkconn.Node, error)
	Children(ctx context.Context, path string) ([]string, error)
}

// Member is a server that is registered.
type Member struct {
	Address string
	Canald  bool // its session is a canald's; others are Java servers
}

// Standing is how the election of a destination stands, by the tree alone.
type Standing struct {
	Destination string
	Running     bool   // there is a running node
	Owner       string // the address in it; empty when it names nobody
	Canald      bool   // the owner's session is a canald's
	Session     int64  // of the owner; 0 for a node that is not ephemeral, which blocks the destination
	Epoch       int64  // of the running node
	Releasing   bool   // the owner has the order to give the destination away
	Members     []Member
	Next        string // who is to take it from this owner; empty without such an order

	version int32 // of the running node
	newest  int64 // the epoch of the owner, or of the last one
}

// Destinations lists the destinations in the tree.
func Destinations(ctx context.Context, r Reader) ([]string, error) {
	return childrenOf(ctx, r, destinationsPath)
}

// Servers lists the servers that are registered.
func Servers(ctx context.Context, r Reader) ([]Member, error) {
	return membersBelow(ctx, r, clusterPath)
}

// Drained lists the addresses of servers that are to run nothing.
func Drained(ctx context.Context, r Reader) ([]string, error) {
	return childrenOf(ctx, r, drainedPath)
}

// Look reads how a destination stands.
func Look(ctx context.Context, r Reader, destination string) (Standing, error) {
	s := Standing{Destination: destination}
	var err error
	if s.Members, err = membersBelow(ctx, r, membersPath(destination)); err != nil {
		return s, err
	}
	n, err := r.Get(ctx, runningPath(destination))
	switch {
	case isNoNode(err):
	case err != nil:
		return s, err
	default:
		d, _ := parseRunning(n.Data)
		s.Running, s.Owner, s.Session, s.Epoch, s.Releasing, s.version = true, d.Address, n.Owner, n.Epoch, !d.Active, n.Version
		if s.Canald, err = isCanald(ctx, r, n.Owner); err != nil {
			return s, err
		}
	}
	o, err := readOrder(ctx, r, destination)
	if err != nil {
		return s, err
	}
	newest := s.Epoch
	if !s.Running {
		n, err := r.Get(ctx, claimPath(destination))
		if err != nil && !isNoNode(err) {
			return s, err
		}
		newest = parseClaim(n.Data).Epoch
	}
	s.newest = newest
	if o.After >= newest {
		s.Next = o.Server
	}
	return s, nil
}

// Successors counts the members that may take the destination from its owner.
func (s Standing) Successors(drained []string) (n int) {
	for _, m := range s.Members {
		if m.Address != s.Owner && !slices.Contains(drained, m.Address) {
			n++
		}
	}
	return n
}

func childrenOf(ctx context.Context, r Reader, path string) ([]string, error) {
	names, err := r.Children(ctx, path)
	if isNoNode(err) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}

func membersBelow(ctx context.Context, r Reader, path string) ([]Member, error) {
	names, err := childrenOf(ctx, r, path)
	if err != nil {
		return nil, err
	}
	var members []Member
	for _, name := range names {
		n, err := r.Get(ctx, path+"/"+name)
		if isNoNode(err) {
			continue // it left meanwhile
		}
		if err != nil {
			return nil, err
		}
		m := Member{Address: name}
		if m.Canald, err = isCanald(ctx, r, n.Owner); err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return members, nil
}

func isCanald(ctx context.Context, r Reader, session int64) (bool, error) {
	_, err := r.Get(ctx, zkconn.SessionPath(session))
	if isNoNode(err) {
		return false, nil
	}
	return err == nil, err
}

// order names who is to take a destination from the owner of an epoch. It means
// nothing any more when there has been a newer owner.
type order struct {
	Server string `json:"server"`
	After  int64  `json:"after"`
}

func nextPath(destination string) string {
	return "/otter/canald/destinations/" + destination + "/next"
}

// drainedPath holds a node for each server that is to run nothing.
const drainedPath = "/otter/canald/drained"

// readOrder gives an empty order for none, and for what is none.
func readOrder(ctx context.Context, r Reader, destination string) (order, error) {
	n, err := r.Get(ctx, nextPath(destination))
	if isNoNode(err) {
		return order{}, nil
	}
	if err != nil {
		return order{}, err
	}
	return parseOrder(n.Data), err
}

func parseOrder(raw []byte) (o order) {
	if len(raw) > maxRunningBytes || json.Unmarshal(raw, &o) != nil {
		return order{}
	}
	return o
}
