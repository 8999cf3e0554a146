package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/canald/canald/client"
	"github.com/canald/canald/internal/tail"
)

// defaultTailClient is a client id that no usual client has.
const defaultTailClient = 1002

const tailHelp = `tail shows the changes of a MySQL or MariaDB while they happen, one row a line: + inserted, - deleted, ~ updated with old → new,
! a statement. It needs no configuration and leaves nothing behind. After the / stand schema or schema.table, several separated by
commas, with * for any text (quote it for the shell); nothing shows all tables. Ctrl-C ends it.

The password is taken from the URL, from MYSQL_PWD, from the [client] section of --defaults-file or ~/.my.cnf, or asked for; user, host
and port may come from that section too. ?tls=DISABLED, PREFERRED (the default), REQUIRED, VERIFY_CA or VERIFY_IDENTITY. The account
needs SELECT, REPLICATION SLAVE and REPLICATION CLIENT; what the source lacks is said with the statement that repairs it. When the source
restarts, tail goes on where it was.

--from takes a place (mysql-bin.000042:4711), a time (2026-11-24T12:00:00+01:00, or without zone in this host's, or -10m for ten minutes
ago), or a GTID set, behind which it begins.

--json writes an object for each row: file, position, time, type, schema, table, key (names of the key's columns), before and after.
Numbers are written with all their digits, bytes as "0x…". --sql writes statements that do the same to another copy of the tables, in a
session of their own, for times in UTC; DDL stands among them as a remark, and tables with generated columns need those left out.

--canal shows what a canald server delivers, as a client id of its own (--client-id; two who look at the same time need two), which is
gone at the end; other clients do not notice. zk://HOST:PORT,HOST:PORT/DESTINATION finds the server of a cluster through ZooKeeper and
follows the destination from one server to the next. Canal's own server in Java has one place in its store for all clients of a destination: what
tail acknowledged there, the client would not get. tail finds that out and refuses. With --no-ack it looks there without acknowledging and
gives all back at the end: until then the client does not get what tail was shown, afterwards it does, together with what it had got and
not yet acknowledged, and once the server's store is full nothing more comes for anybody. The password for --user is taken from CANAL_PWD,
or asked for.`

type tailFlags struct {
	json, sql, verbose, noAck      bool
	from, color, optionFile, canal string
	user                           string
	limit, width                   int
	clientID                       int16
}

func tailCommand() *cobra.Command {
	var f tailFlags
	c := &cobra.Command{
		Use:     "tail mysql://USER@HOST:PORT[/SCHEMA.TABLE,…] | tail --canal HOST:PORT/DESTINATION",
		Short:   "Show live changes of a database, or what a Canal server delivers; no configuration is needed",
		Long:    tailHelp,
		Example: "  canald tail 'mysql://root@127.0.0.1/shop.*'\n  canald tail --json --from -10m mysql://root@127.0.0.1/shop.order | jq .after\n  canald tail --canal 127.0.0.1:11111/example",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTail(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), f, args)
		},
	}
	c.Flags().BoolVar(&f.json, "json", false, "a JSON object for each row")
	c.Flags().BoolVar(&f.sql, "sql", false, "a statement for each row")
	c.Flags().StringVar(&f.from, "from", "now", "where to begin: now, FILE:OFFSET, a time, or a GTID set")
	c.Flags().IntVar(&f.limit, "limit", 0, "end after so many rows; 0 does not end")
	c.Flags().IntVar(&f.width, "width", 0, "most characters of a value in a line; 0 is 60")
	c.Flags().StringVar(&f.color, "color", "auto", "auto (on a terminal, unless NO_COLOR is set), always or never")
	c.Flags().StringVar(&f.optionFile, "defaults-file", "", "MySQL's option file with user, password, host and port (default ~/.my.cnf)")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "say on standard error what the engine does")
	c.Flags().StringVar(&f.canal, "canal", "", "HOST:PORT/DESTINATION of a canald server, or zk://HOST:PORT,…/DESTINATION of a cluster")
	c.Flags().StringVar(&f.user, "user", "", "user towards the Canal server")
	c.Flags().Int16Var(&f.clientID, "client-id", defaultTailClient, "client id towards the Canal server")
	c.Flags().BoolVar(&f.noAck, "no-ack", false, "acknowledge nothing to the Canal server and give all back at the end")
	return c
}

// printer checks the flags that say how rows are shown.
func (f *tailFlags) printer(w io.Writer) (*tail.Printer, error) {
	p := &tail.Printer{W: w, Most: f.limit, Width: f.width}
	switch {
	case f.limit < 0 || f.width < 0:
		return nil, errors.New("--limit and --width are not negative")
	case f.json && f.sql:
		return nil, errors.New("--json and --sql exclude each other")
	case f.json:
		p.Form = tail.JSON
	case f.sql:
		p.Form = tail.SQL
	}
	switch f.color {
	case "always":
		p.Color = true
	case "auto":
		file, ok := w.(*os.File)
		p.Color = ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == ""
	case "never":
	default:
		return nil, fmt.Errorf("--color %q: auto, always or never is expected", f.color)
	}
	return p, nil
}

func runTail(ctx context.Context, out, diag io.Writer, f tailFlags, args []string) error {
	p, err := f.printer(out)
	if err != nil {
		return err
	}
	// A reader that has seen enough is an error of writing, not a signal: the
	// end has to be in order.
	signal.Ignore(syscall.SIGPIPE)
	say := func(text string) { _, _ = fmt.Fprintln(diag, text) }
	began := time.Now()
	switch {
	case f.canal != "" && len(args) > 0:
		return errors.New("a mysql:// URL and --canal exclude each other")
	case f.canal != "":
		err = tailCanal(ctx, f, say, p)
	default:
		text := "mysql://" // all of it may stand in the option file
		if len(args) > 0 {
			text = args[0]
		}
		var s tail.Source
		if s, err = tailSource(ctx, text, f.optionFile); err == nil {
			err = tail.Follow(ctx, s, tail.Options{From: f.from, Say: say, Log: tailLog(f.verbose)}, p)
		}
	}
	if ctx.Err() != nil { // Ctrl-C, at whatever it was waiting for
		err = nil
	}
	switch {
	case errors.Is(err, syscall.EPIPE):
		return nil
	case err == nil || p.Rows > 0:
		say(p.Summary() + " in " + time.Since(began).Round(time.Second).String())
	}
	return err
}

// tailLog writes to standard error when it is wanted: the little that everybody
// should know is said without it.
func tailLog(verbose bool) *zap.Logger {
	if !verbose {
		return zap.NewNop()
	}
	form := zapcore.EncoderConfig{MessageKey: "m", LineEnding: "\n", ConsoleSeparator: " ", EncodeDuration: zapcore.StringDurationEncoder}
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(form), zapcore.Lock(os.Stderr), zapcore.InfoLevel))
}

func tailCanal(ctx context.Context, f tailFlags, say func(string), p *tail.Printer) error {
	at, err := tail.ParseCanal(f.canal)
	if err != nil {
		return fmt.Errorf("--canal: %w", err)
	}
	o := client.Options{Addr: at.Addr, Destination: at.Destination, ClientID: f.clientID, User: f.user}
	if f.clientID < 1 {
		return errors.New("--client-id is a number above 0")
	}
	if f.user != "" {
		var ok bool
		if o.Password, ok = os.LookupEnv("CANAL_PWD"); !ok {
			if o.Password, err = askPassword(ctx, f.user, at.Addr+at.ZooKeeper); err != nil {
				return err
			}
		}
	}
	return tail.Canal(ctx, o, tail.CanalOptions{ZooKeeper: at.ZooKeeper, NoAck: f.noAck, Say: say}, p)
}

// tailSource is the source of a URL, with what the environment, an option file
// and the user have to add.
func tailSource(ctx context.Context, text, optionFile string) (tail.Source, error) {
	s, err := tail.ParseSource(text)
	if err != nil {
		return s, err
	}
	if v, ok := os.LookupEnv("MYSQL_PWD"); ok && !s.HasPassword {
		s.Password, s.HasPassword = v, true
	}
	options, err := readOptionFile(optionFile)
	if err != nil {
		return s, err
	}
	if err := s.Complete(options); err != nil {
		return s, err
	}
	if s.User == "" {
		if u, err := user.Current(); err == nil {
			s.User = u.Username
		}
	}
	if !s.HasPassword {
		s.Password, err = askPassword(ctx, s.User, s.Addr())
	}
	return s, err
}

// readOptionFile reads the file that was named, which has to be there, or ~/.my.cnf.
func readOptionFile(path string) (map[string]string, error) {
	named := path != ""
	if !named {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, nil
		}
		path = filepath.Join(home, ".my.cnf")
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("option file: %w", err)
	}
	defer func() { _ = file.Close() }()
	const mostBytes = 1 << 20
	raw, err := io.ReadAll(io.LimitReader(file, mostBytes))
	if err != nil {
		return nil, fmt.Errorf("option file: %w", err)
	}
	return tail.ParseOptionFile(string(raw)), nil
}

// askPassword asks on the terminal, without echo. Without a terminal the
// account has no password, as it seems.
func askPassword(ctx context.Context, account, addr string) (string, error) {
	stdin := int(os.Stdin.Fd())
	if !term.IsTerminal(stdin) {
		return "", nil
	}
	before, err := term.GetState(stdin)
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	_, _ = fmt.Fprintf(os.Stderr, "password of %s at %s: ", account, addr)
	defer func() { _, _ = fmt.Fprintln(os.Stderr) }()
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() { // it ends with the process when nobody answers
		text, err := term.ReadPassword(stdin)
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return "", fmt.Errorf("password: %w", a.err)
		}
		return strings.TrimRight(string(a.text), "\r\n"), nil
	case <-ctx.Done():
		_ = term.Restore(stdin, before)
		return "", errors.New("no password")
	}
}
