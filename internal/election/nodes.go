package election

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/canald/canald/internal/zkconn"
)

// Paths that Java servers and clients know.
const (
	clusterPath      = "/otter/canal/cluster"
	destinationsPath = "/otter/canal/destinations"
)

func runningPath(destination string) string { return destinationsPath + "/" + destination + "/running" }

func membersPath(destination string) string { return destinationsPath + "/" + destination + "/cluster" }

func memberPath(destination, address string) string { return membersPath(destination) + "/" + address }

// claimPath holds the newest lease on a destination that a canald had. Who comes
// late, and never saw the running node, learns from it whose turn it was.
func claimPath(destination string) string {
	return "/otter/canald/destinations/" + destination + "/lease"
}

// claim is the content of that node. It is written before an owner answers
// anybody, and again at the moment at which the running node is given away:
// whoever finds it released knows that this owner has stopped.
type claim struct {
	Session  int64 `json:"session"`
	Epoch    int64 `json:"epoch"`
	Released bool  `json:"released,omitempty"`
}

func (c claim) encode() []byte {
	raw, _ := json.Marshal(c)
	return raw
}

// parseClaim gives an empty claim for what is none.
func parseClaim(raw []byte) (c claim) {
	if len(raw) > maxRunningBytes || json.Unmarshal(raw, &c) != nil {
		return claim{}
	}
	return c
}

// runningData is Canal's ServerRunningData: the content of a running node.
type runningData struct {
	Active  bool   `json:"active"`
	Address string `json:"address"`
}

const maxRunningBytes = 64 << 10

func (r runningData) encode() []byte {
	raw, _ := json.Marshal(r)
	return raw
}

// parseRunning reads what a server or a person wrote; ok is false when it names nobody.
func parseRunning(raw []byte) (r runningData, ok bool) {
	if len(raw) > maxRunningBytes {
		return r, false
	}
	r.Active = true // when absent
	if err := json.Unmarshal(raw, &r); err != nil || r.Address == "" {
		return runningData{Active: true}, false
	}
	return r, true
}

func sessionName(id int64) string { return fmt.Sprintf("0x%x", uint64(id)) }

func isExists(err error) bool       { return errors.Is(err, zkconn.ErrExists) }
func isNoNode(err error) bool       { return errors.Is(err, zkconn.ErrNoNode) }
func isBadVersion(err error) bool   { return errors.Is(err, zkconn.ErrBadVersion) }
func isSessionEnded(err error) bool { return errors.Is(err, zkconn.ErrSessionEnded) }
