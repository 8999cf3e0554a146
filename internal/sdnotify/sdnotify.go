// Package sdnotify tells systemd how the service is: ready, stopping, alive.
// Where no systemd asks, it does nothing. It has no goroutines: whoever feeds the
// watchdog does so from the loop whose life it stands for.
package sdnotify

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// States for Notify. Several may be joined by line breaks.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Alive    = "WATCHDOG=1"
)

// Status is the state that systemctl status shows.
func Status(text string) string {
	return "STATUS=" + strings.ReplaceAll(text, "\n", " ")
}

// sendBound is the longest that a full socket may hold up the caller.
const sendBound = time.Second

// Notify sends a state to the socket that NOTIFY_SOCKET names. Without that
// variable it does nothing and returns nil.
func Notify(ctx context.Context, state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	if name[0] != '/' && name[0] != '@' { // @ is the abstract name space
		return fmt.Errorf("notify systemd: %q is no path of a socket", name)
	}
	ctx, cancel := context.WithTimeout(ctx, sendBound)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unixgram", name)
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetWriteDeadline(time.Now().Add(sendBound)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

// Watchdog is how often Alive is to be sent: half the time after which systemd
// takes the service for hung. 0 means that nobody watches this process.
func Watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0 // meant for a parent
	}
	n, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || n <= 0 || n > int64(maxWatchdog/time.Microsecond) {
		return 0
	}
	return time.Duration(n) * time.Microsecond / 2
}

// maxWatchdog keeps the microseconds of the environment inside a Duration.
const maxWatchdog = 365 * 24 * time.Hour
