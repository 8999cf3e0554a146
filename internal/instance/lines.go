package instance

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/filter"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
)

// The lines of this file are Canal's, word for word: operators and their scripts
// look for them. What canald has to say beside them is in fields or lines of its own.

func (i *Instance) sayStart(clients int) {
	i.log.Info(fmt.Sprintf("start CannalInstance for 1-%s ", i.cfg.Destination),
		zap.String("source", i.cfg.Source.Addr), zap.Uint32("slave_id", i.cfg.Source.ServerID), zap.Int("clients", clients))
	i.log.Warn("--> init table filter : " + anchored(i.cfg.Filter))
	i.log.Warn("--> init table black filter : " + anchored(i.cfg.BlackFilter))
	i.log.Info("start successful....")
}

func (i *Instance) sayStop() {
	i.log.Info(fmt.Sprintf("stop CannalInstance for null-%s ", i.cfg.Destination))
	i.log.Info("stop successful....")
}

// anchored is a list of patterns as Canal compiles it.
func anchored(list string) string {
	patterns := filter.Split(list)
	for n, p := range patterns {
		patterns[n] = "^" + p + "$"
	}
	return strings.Join(patterns, "|")
}

func (i *Instance) sayFindStart() {
	i.log.Warn("---> begin to find start position, it will be long time for reset or first position")
}

// sayStartFrom tells where the search for a start begins: at a cursor, at a
// configured place, or at the end of the binlog.
func (i *Instance) sayStartFrom(cursor *position.Cursor) {
	switch c := i.cfg.Start; {
	case cursor != nil:
		text, _ := json.Marshal(cursor)
		i.log.Warn("prepare to find start position just last position " + string(text))
	case c.File != "":
		i.log.Warn(fmt.Sprintf("prepare to find start position %s:%d:%d", c.File, c.Offset, c.Timestamp))
	default:
		i.log.Warn("prepare to find start position just show master status")
	}
}

func (i *Instance) sayStartFound(p position.Position, began time.Time, version string) {
	i.log.Warn(fmt.Sprintf("---> find start position successfully, EntryPosition[included=false,journalName=%s,position=%d,serverId=%d,gtid=%s,timestamp=%d] cost : %dms , the next step is binlog dump",
		p.File, p.Offset, p.ServerID, p.GTID, p.Timestamp, time.Since(began).Milliseconds()), zap.String("version", version))
}

func (i *Instance) sayDumpError(err error, pause time.Duration) {
	i.log.Error("dump address "+i.cfg.Source.Addr+" has an error, retrying. caused by ", zap.Error(err), zap.Duration("pause", pause))
}

// identity is a client as Canal's ClientIdentity shows itself.
func (i *Instance) identity(id meta.ClientID, pattern string) string {
	return fmt.Sprintf("ClientIdentity[destination=%s,clientId=%d,filter=%s]", i.cfg.Destination, id, pattern)
}

func (i *Instance) saySubscribed(id meta.ClientID, pattern string, cursor *position.Cursor, fresh bool) {
	how, text := "use last cursor position", "null"
	if fresh {
		how = "with first position"
	}
	if cursor != nil {
		raw, _ := json.Marshal(cursor)
		text = string(raw)
	}
	i.log.Info(fmt.Sprintf("subscribe successfully, %s %s:%s ", i.identity(id, pattern), how, text))
	if pattern != "" {
		i.log.Info("subscribe filter change to " + pattern)
	}
}

func (i *Instance) sayUnsubscribed(id meta.ClientID) {
	i.log.Info("unsubscribe successfully, " + i.identity(id, ""))
}

func (i *Instance) sayRolledBack(id meta.ClientID, batchID int64) {
	i.log.Info(fmt.Sprintf("rollback successfully, clientId:%d batchId:%d", id, batchID))
}
