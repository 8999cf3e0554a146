// Command bench measures how fast a destination drains, beside a raw dump of the
// same binlog in the same run. It starts a real server and the canald binary.
//
//	go run ./test/bench -rows 600000 -runs 5
//
// What follows the flags goes to canald, for example "-D" "key=value".
// Machines are noisy: look at the ratios and medians, not at single times.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	mysql "github.com/go-mysql-org/go-mysql/client"

	"github.com/canald/canald/client"
	"github.com/canald/canald/test/harness"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	rows := flag.Int("rows", 600_000, "rows of 20 mixed columns")
	runs := flag.Int("runs", 5, "runs of each measurement")
	version := flag.String("source", "mysql-9.7", "version of the source")
	program := flag.String("canald", "bin/canald", "the server's binary")
	instances := flag.Int("idle", 0, "instead: memory of so many idle instances")
	megabytes := flag.Int("transaction", 0, "instead: peak memory while one transaction of so many MB passes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch v := harness.Version(*version); {
	case *instances > 0:
		return idle(ctx, v, *program, *instances)
	case *megabytes > 0:
		return transaction(ctx, v, *program, *megabytes)
	default:
		return bench(ctx, v, *program, *rows, *runs)
	}
}

const createTable = `CREATE TABLE bench.w (id BIGINT PRIMARY KEY AUTO_INCREMENT, c1 INT, c2 BIGINT UNSIGNED, c3 VARCHAR(50),
 c4 DECIMAL(12,2), c5 DATETIME, c6 TIMESTAMP NULL, c7 DOUBLE, c8 TINYINT, c9 CHAR(10), c10 TEXT, c11 DATE, c12 TIME, c13 FLOAT,
 c14 ENUM('a','b'), c15 VARBINARY(20), c16 SMALLINT, c17 DATETIME(3), c18 BIGINT, c19 VARCHAR(100))`

const rowsPerInsert = 1000

// work is the binlog that every run reads.
type work struct {
	source *harness.Server
	file   string
	offset uint32
	bytes  int64
	rows   int
}

func bench(ctx context.Context, v harness.Version, program string, rows, runs int) error {
	dir, err := os.MkdirTemp("", "canald-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := harness.StartServer(ctx, v, filepath.Join(dir, "source"), "--max-binlog-size=1073741824")
	if err != nil {
		return err
	}
	defer func() { _ = s.Stop() }()
	w, err := write(ctx, s, rows)
	if err != nil {
		return err
	}
	fmt.Printf("%s, %d rows of 20 columns in one binlog of %.0f MB\n\n", v, w.rows, float64(w.bytes)/1e6)
	fmt.Println("run   raw dump s   canald s   ratio   rows/s    user s   system s   µs CPU/row   peak MB")
	var ratios, speeds, cpus []float64
	for run := 1; run <= runs; run++ {
		raw, err := rawDump(ctx, s.Addr, "root", "", w.file, w.offset, w.bytes)
		if err != nil {
			return err
		}
		d, err := drain(ctx, program, filepath.Join(dir, fmt.Sprintf("home%d", run)), w)
		if err != nil {
			return err
		}
		ratio := d.took.Seconds() / raw.Seconds()
		speed := float64(w.rows) / d.took.Seconds()
		cpu := (d.user + d.system).Seconds() * 1e6 / float64(w.rows)
		fmt.Printf("%3d   %10.3f   %8.3f   %5.1f   %7.0f   %6.2f   %8.2f   %10.2f   %7d\n", run, raw.Seconds(), d.took.Seconds(), ratio, speed,
			d.user.Seconds(), d.system.Seconds(), cpu, d.peak>>20)
		ratios, speeds, cpus = append(ratios, ratio), append(speeds, speed), append(cpus, cpu)
	}
	fmt.Printf("\nmedian: ratio to the raw dump %.1f, %.0f rows/s, %.2f µs of canald's CPU a row\n", median(ratios), median(speeds), median(cpus))
	return nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func write(ctx context.Context, s *harness.Server, rows int) (*work, error) {
	c, err := s.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for _, sql := range []string{"CREATE DATABASE bench", createTable, "FLUSH BINARY LOGS"} {
		if _, err := c.Execute(sql); err != nil {
			return nil, err
		}
	}
	w := &work{source: s, offset: 4}
	fmt.Fprintf(os.Stderr, "writing %d rows …\n", rows)
	for w.rows < rows {
		values := make([]string, 0, rowsPerInsert)
		for range min(rowsPerInsert, rows-w.rows) {
			w.rows++
			n := w.rows
			values = append(values, fmt.Sprintf("(NULL,%d,%d,'name %d of a customer',%d.%02d,'2024-05-%02d 07:08:09','2024-05-06 %02d:08:09',%g,%d,'abc','text number %d that is stored in a blob','2024-01-%02d','10:%02d:12',2.5,'b','bin\\0%d',%d,'2024-05-06 07:08:09.%03d',-%d,'another string value %d')",
				n*7, n*1000003, n, n, n%100, n%28+1, n%24, float64(n)*1.1, n%100, n, n%28+1, n%60, n%1000, n%30000, n%1000, n, n))
		}
		if _, err := c.Execute("INSERT INTO bench.w VALUES " + strings.Join(values, ",")); err != nil {
			return nil, err
		}
	}
	return w, w.find(c)
}

// find notes the newest binlog file.
func (w *work) find(c *mysql.Conn) error {
	res, err := c.Execute("SHOW BINARY LOGS")
	if err != nil {
		return err
	}
	// A transaction of more than a file's size ends its file, so the newest but
	// one may be the one that holds the work.
	for i := range res.RowNumber() {
		size, err := res.GetInt(i, 1)
		if err != nil {
			return err
		}
		if size > w.bytes {
			name, err := res.GetString(i, 0)
			if err != nil {
				return err
			}
			w.file, w.bytes = strings.Clone(name), size
		}
	}
	return nil
}

// drained is one run of canald.
type drained struct {
	took         time.Duration // from the first request to the last row
	user, system time.Duration // CPU of the canald process in that time
	peak         int64         // its largest resident set, bytes
}

func drain(ctx context.Context, program, home string, w *work) (d drained, err error) {
	port := harness.FreePort()
	if err := makeHome(home, port, []string{"bench"}, func(string) string {
		return fmt.Sprintf("canal.instance.master.address=%s\ncanal.instance.dbUsername=%s\ncanal.instance.dbPassword=%s\n"+
			"canal.instance.filter.regex=bench\\\\..*\ncanal.instance.master.journal.name=%s\ncanal.instance.master.position=%d\n",
			w.source.Addr, w.source.User, w.source.Password, w.file, w.offset)
	}); err != nil {
		return d, err
	}
	cmd, stop, err := startProgram(ctx, program, home)
	if err != nil {
		return d, err
	}
	defer stop()
	c, err := subscribe(ctx, fmt.Sprintf("127.0.0.1:%d", port), "bench")
	if err != nil {
		return d, err
	}
	_ = c.Close() // the subscription stays; the drain below has a connection of its own
	user0, system0, _ := usage(cmd.Process.Pid)
	start := time.Now()
	if err := drainRows(ctx, fmt.Sprintf("127.0.0.1:%d", port), w.rows); err != nil {
		return d, err
	}
	d.took = time.Since(start)
	user1, system1, peak := usage(cmd.Process.Pid)
	d.user, d.system, d.peak = user1-user0, system1-system0, peak
	return d, nil
}

// makeHome writes a home whose destinations keep their cursors in memory.
func makeHome(home string, port int, names []string, properties func(name string) string) error {
	for _, name := range names {
		dir := filepath.Join(home, "conf", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "instance.properties"), []byte(properties(name)), 0o600); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("canal.ip=127.0.0.1\ncanal.port=%d\ncanal.destinations=%s\ncanal.instance.global.spring.xml=classpath:spring/memory-instance.xml\n",
		port, strings.Join(names, ","))
	return os.WriteFile(filepath.Join(home, "conf", "canal.properties"), []byte(text), 0o600)
}

// startProgram starts canald; stop ends it and waits.
func startProgram(ctx context.Context, program, home string) (cmd *exec.Cmd, stop func(), err error) {
	path, err := filepath.Abs(program)
	if err != nil {
		return nil, nil, err
	}
	cmd = exec.CommandContext(ctx, path, append([]string{"--home", home}, flag.Args()...)...)
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	return cmd, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}, nil
}

func subscribe(ctx context.Context, addr, destination string) (*client.Conn, error) {
	var last error
	for range 200 {
		c, err := client.Dial(ctx, client.Options{Addr: addr, Destination: destination})
		if err == nil {
			if err = c.Subscribe(ctx, ""); err == nil {
				return c, nil
			}
			_ = c.Close()
		}
		last = err
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, last
}

// usage reads a process's CPU time and largest resident set.
func usage(pid int) (user, system time.Duration, peak int64) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, 0
	}
	if _, after, ok := strings.Cut(string(stat), ") "); ok {
		f := strings.Fields(after)
		const tick = time.Second / 100 // USER_HZ, fixed on Linux
		u, _ := strconv.ParseInt(f[11], 10, 64)
		s, _ := strconv.ParseInt(f[12], 10, 64)
		user, system = time.Duration(u)*tick, time.Duration(s)*tick
	}
	return user, system, resident(pid, "VmHWM:")
}

// resident reads VmRSS (now) or VmHWM (the largest) of a process, bytes.
func resident(pid int, key string) (size int64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, key); ok {
			kb, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			size = kb << 10
		}
	}
	return size
}
