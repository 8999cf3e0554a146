// Command canald follows MySQL and MariaDB servers as a replica does and hands
// their changes to clients of Alibaba Canal.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // a container may have no zones of its own
)

func main() {
	// The first signal asks for an orderly end. From then on signals have their
	// usual effect again, so that a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := rootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
