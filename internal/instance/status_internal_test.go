package instance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/canald/canald/internal/binlog"
)

func TestReasonOf(t *testing.T) {
	for want, err := range map[string]error{
		reasonPrecondition: fmt.Errorf("x: %w", binlog.ErrPrecondition),
		reasonPurged:       fmt.Errorf("x: %w", binlog.ErrPositionPurged),
		reasonStructure:    fmt.Errorf("x: %w", binlog.ErrNoTable),
		reasonClosed:       fmt.Errorf("x: %w", binlog.ErrSourceClosed),
		reasonNetwork:      fmt.Errorf("x: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}),
		reasonOther:        io.ErrUnexpectedEOF,
	} {
		if got := reasonOf(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

// TestFreeWait counts a wait while it goes on and after it.
func TestFreeWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounters()
		release := make(chan struct{})
		done := make(chan error)
		go func() { done <- c.waitFree(func() error { <-release; return nil }) }()
		time.Sleep(3 * time.Second)
		if total, waits := c.freeWaited(); total != 3*time.Second || !waits {
			t.Errorf("while it waits: %s, %t", total, waits)
		}
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if total, waits := c.freeWaited(); total != 3*time.Second || waits {
			t.Errorf("afterwards: %s, %t", total, waits)
		}
	})
}
