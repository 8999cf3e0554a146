package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/canald/canald/client"
	"github.com/canald/canald/internal/tail"
)

// defaultTailClient is a client id that no usual client has.
const defaultTailClient = 1002

func tailCommand() *cobra.Command {
	var f struct {
		json, sql, verbose             bool
		from, color, optionFile, canal string
		user                           string
		limit, width                   int
		clientID                       int16
	}
	c := &cobra.Command{
		Use:   "tail mysql://USER@HOST:PORT[/SCHEMA.TABLE,…] | tail --canal HOST:PORT/DESTINATION",
		Short: "Show live changes of a database, or what a Canal server delivers; no configuration is needed",
		Long: `tail shows the changes of a MySQL or MariaDB while they happen, one row a line: + inserted, - deleted, ~ updated with old → new.
It needs no configuration and leaves nothing behind. * in a schema's or a table's name stands for any text.

The password is taken from the URL, from MYSQL_PWD, from the [client] section of --defaults-file or ~/.my.cnf, or asked for. The account needs
SELECT, REPLICATION SLAVE and REPLICATION CLIENT; what the source lacks is said with the statement that repairs it.

--from takes a place (mysql-bin.000042:4711), a time (2026-11-24 12:00:00, or -10m for ten minutes ago), or a GTID set, behind which it begins.

--canal shows what a canald server delivers, as a client id of its own (--client-id) which is gone at the end; other clients do not notice. A Java
server has one store for all clients of a destination: what tail acknowledged there, they would not get. Do not use it there.
The client password is taken from CANAL_PASSWD.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := &tail.Printer{W: cmd.OutOrStdout(), Most: f.limit, Width: f.width}
			switch {
			case f.json && f.sql:
				return errors.New("--json and --sql exclude each other")
			case f.json:
				p.Form = tail.JSON
			case f.sql:
				p.Form = tail.SQL
			}
			switch f.color {
			case "always":
				p.Color = true
			case "auto":
				p.Color = term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""
			case "never":
			default:
				return fmt.Errorf("--color %q: auto, always or never is expected", f.color)
			}
			if (f.canal == "") == (len(args) == 0) {
				return errors.New("either a mysql:// URL or --canal HOST:PORT/DESTINATION is expected")
			}
			var err error
			if f.canal != "" {
				var o client.Options
				if o.Addr, o.Destination, err = tail.ParseCanal(f.canal); err != nil {
					return fmt.Errorf("--canal: %w", err)
				}
				o.ClientID, o.User, o.Password = f.clientID, f.user, os.Getenv("CANAL_PASSWD")
				err = tail.Canal(cmd.Context(), o, p)
			} else {
				err = tailSource(cmd.Context(), args[0], f.from, f.optionFile, p, tailLog(f.verbose))
			}
			if errors.Is(err, syscall.EPIPE) { // head has seen enough
				return nil
			}
			_, _ = fmt.Fprintf(os.Stderr, "%d rows\n", p.Rows)
			return err
		},
	}
	c.Flags().BoolVar(&f.json, "json", false, "a JSON object for each row")
	c.Flags().BoolVar(&f.sql, "sql", false, "a statement for each row")
	c.Flags().StringVar(&f.from, "from", "now", "where to begin: now, FILE:OFFSET, a time, or a GTID set")
	c.Flags().IntVar(&f.limit, "limit", 0, "end after so many rows; 0 does not end")
	c.Flags().IntVar(&f.width, "width", 0, "most characters of a value in a line; 0 is 60")
	c.Flags().StringVar(&f.color, "color", "auto", "auto, always or never")
	c.Flags().StringVar(&f.optionFile, "defaults-file", "", "MySQL's option file with user and password (default ~/.my.cnf)")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "say on standard error what the engine does")
	c.Flags().StringVar(&f.canal, "canal", "", "HOST:PORT/DESTINATION of a canald server")
	c.Flags().StringVar(&f.user, "user", "", "user towards the Canal server")
	c.Flags().Int16Var(&f.clientID, "client-id", defaultTailClient, "client id towards the Canal server")
	return c
}

// tailLog writes to standard error: trouble always, the rest when wanted.
func tailLog(verbose bool) *zap.Logger {
	level := zapcore.ErrorLevel
	if verbose {
		level = zapcore.InfoLevel
	}
	form := zapcore.EncoderConfig{MessageKey: "m", LineEnding: "\n", ConsoleSeparator: " ", EncodeDuration: zapcore.StringDurationEncoder}
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(form), zapcore.Lock(os.Stderr), level))
}

func tailSource(ctx context.Context, text, from, optionFile string, p *tail.Printer, log *zap.Logger) error {
	s, err := tail.ParseSource(text)
	if err != nil {
		return err
	}
	if err := credentials(&s, optionFile); err != nil {
		return err
	}
	return tail.Follow(ctx, s, from, p, log)
}

// credentials completes what the URL does not say.
func credentials(s *tail.Source, optionFile string) error {
	path := optionFile
	if path == "" {
		if home, err := os.UserHomeDir(); err == nil {
			path = filepath.Join(home, ".my.cnf")
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil && (optionFile != "" || !errors.Is(err, fs.ErrNotExist)) {
		return fmt.Errorf("option file: %w", err)
	}
	options := tail.ParseOptionFile(string(raw))
	if s.User == "" {
		s.User = options["user"]
	}
	if s.User == "" {
		s.User = os.Getenv("USER")
	}
	if s.HasPassword {
		return nil
	}
	if v, ok := os.LookupEnv("MYSQL_PWD"); ok {
		s.Password = v
		return nil
	}
	if v, ok := options["password"]; ok {
		s.Password = v
		return nil
	}
	stdin := int(os.Stdin.Fd())
	if !term.IsTerminal(stdin) {
		return nil // an account without a password, as it seems
	}
	_, _ = fmt.Fprintf(os.Stderr, "password of %s at %s: ", s.User, s.Addr)
	typed, err := term.ReadPassword(stdin)
	_, _ = fmt.Fprintln(os.Stderr)
	if err != nil {
		return fmt.Errorf("password: %w", err)
	}
	s.Password = strings.TrimRight(string(typed), "\r\n")
	return nil
}
