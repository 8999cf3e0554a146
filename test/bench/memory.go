package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/canald/canald/test/harness"
)

// idle starts one canald with many destinations on one quiet source and shows
// what each costs.
func idle(ctx context.Context, v harness.Version, program string, instances int) error {
	dir, err := os.MkdirTemp("", "canald-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := harness.StartServer(ctx, v, filepath.Join(dir, "source"), "--max-connections=1000")
	if err != nil {
		return err
	}
	defer func() { _ = s.Stop() }()
	var base int64
	for _, n := range []int{1, instances} {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("idle%03d", i)
		}
		rss, err := settled(ctx, program, filepath.Join(dir, fmt.Sprintf("home%d", n)), s, names)
		if err != nil {
			return err
		}
		fmt.Printf("%3d idle instances: %.1f MB resident\n", n, float64(rss)/1e6)
		if n == 1 {
			base = rss
			continue
		}
		fmt.Printf("memory per idle instance: %.0f KB\n", float64(rss-base)/1e3/float64(n-1))
	}
	return nil
}

// settled starts canald, waits until every destination takes a subscription and
// a little longer, and returns its resident set.
func settled(ctx context.Context, program, home string, s *harness.Server, names []string) (int64, error) {
	port := harness.FreePort()
	if err := makeHome(home, port, names, func(string) string {
		return fmt.Sprintf("canal.instance.master.address=%s\ncanal.instance.dbUsername=%s\ncanal.instance.dbPassword=%s\n", s.Addr, s.User, s.Password)
	}); err != nil {
		return 0, err
	}
	cmd, stop, err := startProgram(ctx, program, home)
	if err != nil {
		return 0, err
	}
	defer stop()
	for _, name := range names {
		c, err := subscribe(ctx, fmt.Sprintf("127.0.0.1:%d", port), name)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		_ = c.Close()
	}
	select {
	case <-time.After(5 * time.Second):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return resident(cmd.Process.Pid, "VmRSS:"), nil
}

// transaction passes one transaction of so many MB and shows the peak memory.
func transaction(ctx context.Context, v harness.Version, program string, megabytes int) error {
	dir, err := os.MkdirTemp("", "canald-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := harness.StartServer(ctx, v, filepath.Join(dir, "source"), "--max-binlog-size=1073741824", "--binlog-cache-size=67108864")
	if err != nil {
		return err
	}
	defer func() { _ = s.Stop() }()
	c, err := s.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	const rowBytes, perInsert = 1000, 1000
	rows := megabytes * 1_000_000 / rowBytes
	w := &work{source: s, offset: 4, rows: rows}
	for _, sql := range []string{"CREATE DATABASE bench", "CREATE TABLE bench.big (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT)", "FLUSH BINARY LOGS", "BEGIN"} {
		if _, err := c.Execute(sql); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "writing one transaction of %d MB …\n", megabytes)
	value := "('" + strings.Repeat("x", rowBytes-10) + "')"
	insert := "INSERT INTO bench.big (v) VALUES " + strings.Repeat(value+",", perInsert-1) + value
	for range rows / perInsert {
		if _, err := c.Execute(insert); err != nil {
			return err
		}
	}
	if _, err := c.Execute("COMMIT"); err != nil {
		return err
	}
	if err := w.find(c); err != nil {
		return err
	}
	d, err := drain(ctx, program, filepath.Join(dir, "home"), w)
	if err != nil {
		return err
	}
	fmt.Printf("one transaction of %.0f MB, %d rows: %.1f s, canald's peak %.0f MB\n", float64(w.bytes)/1e6, w.rows, d.took.Seconds(), float64(d.peak)/1e6)
	return nil
}
