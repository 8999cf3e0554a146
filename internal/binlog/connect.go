package binlog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
)

// session is one connection to the source, at the stage of statements.
type session struct {
	conn    *client.Conn
	raw     net.Conn // below TLS; deadlines are set here
	timeout time.Duration
	version string
	maria   bool
}

// dial connects and logs in. A panic of the library, which trusts what it
// reads, becomes an error.
func dial(ctx context.Context, cfg Config) (*session, error) {
	if cfg.TLS == TLSDisabled {
		return dialOnce(ctx, cfg, nil)
	}
	conf, err := tlsConfig(cfg)
	if err != nil {
		return nil, err
	}
	s, err := dialOnce(ctx, cfg, conf)
	if err != nil && cfg.TLS == TLSPreferred && !isLoginError(err) && ctx.Err() == nil {
		return dialOnce(ctx, cfg, nil)
	}
	return s, err
}

func dialOnce(ctx context.Context, cfg Config, conf *tls.Config) (_ *session, err error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	s := &session{timeout: cfg.QueryTimeout}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("connect to %s: the server's greeting cannot be read: %v", cfg.Addr, p)
		}
		if err != nil {
			s.close()
		}
	}()
	var dialed atomic.Pointer[greetingConn]
	dialer := func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := net.Dialer{KeepAlive: 30 * time.Second}
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		deadline, _ := ctx.Deadline()
		if err := c.SetDeadline(deadline); err != nil {
			_ = c.Close()
			return nil, err
		}
		g := &greetingConn{Conn: c}
		s.raw = g
		dialed.Store(g)
		return g, nil
	}
	options := func(c *client.Conn) error {
		if conf != nil {
			c.SetTLSConfig(conf)
		}
		return nil
	}
	// A login that hangs must end with the context too, not only with the deadline.
	stop := context.AfterFunc(ctx, func() {
		if c := dialed.Load(); c != nil {
			_ = c.SetDeadline(time.Unix(1, 0))
		}
	})
	s.conn, err = client.ConnectWithDialer(ctx, "tcp", cfg.Addr, cfg.User, cfg.Password, cfg.Database, dialer, options)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s as %q: %w", cfg.Addr, cfg.User, explainLogin(err, cfg))
	}
	s.version = strings.TrimPrefix(s.conn.GetServerVersion(), "5.5.5-")
	s.maria = strings.Contains(strings.ToLower(s.version), "mariadb")
	return s, s.raw.SetDeadline(time.Time{})
}

func tlsConfig(cfg Config) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("source address %q: %w", cfg.Addr, err)
	}
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	switch cfg.TLS {
	case TLSPreferred, TLSRequired:
		conf.InsecureSkipVerify = true // these modes promise secrecy against listeners only
	case TLSVerifyCA:
		conf.InsecureSkipVerify = true // the name is not looked at; the chain is, here:
		conf.VerifyConnection = func(cs tls.ConnectionState) error {
			opts := x509.VerifyOptions{Intermediates: x509.NewCertPool()}
			for _, c := range cs.PeerCertificates[1:] {
				opts.Intermediates.AddCert(c)
			}
			_, err := cs.PeerCertificates[0].Verify(opts)
			return err
		}
	case TLSVerifyIdentity:
	default:
		return nil, fmt.Errorf("unknown TLS mode %q", cfg.TLS)
	}
	return conf, nil
}

// isLoginError tells whether the server answered the login with a refusal.
func isLoginError(err error) bool {
	var e *mysql.MyError
	return errors.As(err, &e)
}

// explainLogin adds what repairs the usual causes.
func explainLogin(err error, cfg Config) error {
	var e *mysql.MyError
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case mysql.ER_ACCESS_DENIED_ERROR:
		return fmt.Errorf("%w (check canal.instance.dbUsername and canal.instance.dbPassword; repair on the source: "+
			"CREATE USER '%s'@'%%' IDENTIFIED BY '…'; GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '%s'@'%%')", err, cfg.User, cfg.User)
	case 1040: // ER_CON_COUNT_ERROR
		return fmt.Errorf("%w (raise max_connections on the source)", err)
	}
	return err
}

// query runs one statement within the session's time limit. A statement never
// waits for ever: past the limit the connection is of no use any more.
func (s *session) query(ctx context.Context, sql string) (res *mysql.Result, err error) {
	done, err := s.limit(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	defer recoverAs(&err, "the server's answer cannot be read")
	res, err = s.conn.Execute(sql)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shorten(sql), err)
	}
	return res, nil
}

// stream runs a SELECT and gives each row to f while it arrives.
func (s *session) stream(ctx context.Context, sql string, f func(row []mysql.FieldValue) error) (err error) {
	done, err := s.limit(ctx)
	if err != nil {
		return err
	}
	defer done()
	defer recoverAs(&err, "the server's answer cannot be read")
	var res mysql.Result
	n := 0
	err = s.conn.ExecuteSelectStreaming(sql, &res, func(row []mysql.FieldValue) error {
		if n++; n%1000 == 0 { // the limit is for silence, not for a long answer
			_ = s.raw.SetDeadline(time.Now().Add(s.timeout))
		}
		return f(row)
	}, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", shorten(sql), err)
	}
	return nil
}

func (s *session) limit(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.raw.SetDeadline(time.Now().Add(s.timeout)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.raw.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if stop() {
			_ = s.raw.SetDeadline(time.Time{})
		}
	}, nil
}

func (s *session) close() {
	if s != nil && s.raw != nil {
		_ = s.raw.Close()
	}
}

// variable reads one global or session variable; found is false when the server has none of that name.
func (s *session) variable(ctx context.Context, name string) (value string, found bool, err error) {
	res, err := s.query(ctx, "SHOW VARIABLES LIKE '"+name+"'")
	if err != nil {
		return "", false, err
	}
	defer res.Close()
	if res.RowNumber() == 0 {
		return "", false, nil
	}
	value, err = res.GetString(0, 1)
	return strings.Clone(value), err == nil, err
}

func recoverAs(err *error, what string) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: %v", what, p)
	}
}

// shorten keeps a statement readable in an error.
func shorten(sql string) string {
	const most = 80
	if len(sql) > most {
		return sql[:most] + "…"
	}
	return sql
}
