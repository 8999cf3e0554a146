package metrics

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Bounds of the port.
const (
	maxConnections  = 64
	maxHeaderBytes  = 16 << 10
	requestTimeout  = 10 * time.Second
	idleTimeout     = time.Minute
	listenRetryMin  = time.Second
	listenRetryMax  = time.Minute
	shutdownTimeout = 2 * time.Second
)

// Run serves until the context is done, and then returns nil. A port that is
// taken, or fails, is tried again: data is delivered without metrics too.
func (m *Metrics) Run(ctx context.Context) error {
	pause, said := listenRetryMin, false
	for {
		l, err := m.listen(ctx)
		if err == nil {
			m.log.Info("serving metrics and health", zap.Stringer("addr", l.Addr()))
			pause, said = listenRetryMin, false
			err = m.serve(ctx, l)
		}
		if !said && ctx.Err() == nil {
			said = true
			m.log.Error("Unable to start prometheus HTTPServer.", zap.Error(err))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, listenRetryMax)
	}
}

func (m *Metrics) listen(ctx context.Context) (net.Listener, error) {
	var conf *tls.Config
	if m.cfg.CertFile != "" {
		c := &certificate{certFile: m.cfg.CertFile, keyFile: m.cfg.KeyFile}
		if _, err := c.get(nil); err != nil {
			return nil, err
		}
		conf = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", m.cfg.Addr)
	if err != nil {
		return nil, err
	}
	l = &limited{Listener: l, free: make(chan struct{}, maxConnections), closed: make(chan struct{})}
	if conf != nil {
		l = tls.NewListener(l, conf)
	}
	return l, nil
}

// serve returns an error only when the port failed while it was served.
func (m *Metrics) serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler: m.Handler(), MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: requestTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: idleTimeout,
		ErrorLog: zap.NewStdLog(zap.NewNop()), // what peers do wrong is not worth a line
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		_ = l.Close()
		return fmt.Errorf("the port failed: %w", err)
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := s.Shutdown(late); err != nil {
		_ = s.Close()
	}
	<-done
	return nil
}

// Handler serves the page on every path, as Canal does, but for those of health.
func (m *Metrics) Handler() http.Handler {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/livez", "/healthz":
			plain(w, http.StatusOK, "ok\n")
		case "/readyz":
			if reasons := m.reasons(); len(reasons) > 0 {
				plain(w, http.StatusServiceUnavailable, "not ready\n"+strings.Join(reasons, "\n")+"\n")
				return
			}
			plain(w, http.StatusOK, "ready\n")
		case "/instances":
			body, err := m.instances()
			if err != nil {
				plain(w, http.StatusInternalServerError, err.Error())
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(append(body, '\n'))
		default:
			m.page(w, r)
		}
	})
	if m.cfg.User == "" {
		return h
	}
	return m.authenticated(h)
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text))
}

func (m *Metrics) page(w http.ResponseWriter, r *http.Request) {
	packed := acceptsGzip(r.Header)
	var text []byte
	if names := r.URL.Query()["name[]"]; len(names) > 0 {
		if text = only(m.text(false), names); packed {
			text = pack(text)
		}
	} else {
		text = m.text(packed)
	}
	w.Header().Set("Content-Type", contentType)
	if packed {
		w.Header().Set("Content-Encoding", "gzip")
	}
	_, _ = w.Write(text)
}

func acceptsGzip(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return !strings.HasPrefix(strings.ReplaceAll(weight, " ", ""), "q=0") || strings.ContainsAny(weight, "123456789")
		}
	}
	return false
}

func pack(text []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is a valid one
	_, _ = z.Write(text)                            // a buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

// authenticated asks for the user and password. Hashes of equal length are
// compared, so that the time tells nothing.
func (m *Metrics) authenticated(h http.Handler) http.Handler {
	user, password := sha256.Sum256([]byte(m.cfg.User)), sha256.Sum256([]byte(m.cfg.Password))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		gotUser, gotPassword := sha256.Sum256([]byte(u)), sha256.Sum256([]byte(p))
		if subtle.ConstantTimeCompare(user[:], gotUser[:])&subtle.ConstantTimeCompare(password[:], gotPassword[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="canald"`)
			plain(w, http.StatusUnauthorized, "user and password are needed\n")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// certificate reads its files again when they change; while they cannot be read
// the last one stays in use.
type certificate struct {
	certFile, keyFile string
	mu                struct {
		sync.Mutex
		cert    *tls.Certificate
		modTime time.Time
		looked  time.Time
	}
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	const every = 10 * time.Second
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.cert != nil && time.Since(c.mu.looked) < every {
		return c.mu.cert, nil
	}
	c.mu.looked = time.Now()
	info, err := os.Stat(c.certFile)
	if err == nil && c.mu.cert != nil && info.ModTime().Equal(c.mu.modTime) {
		return c.mu.cert, nil
	}
	if err == nil {
		var cert tls.Certificate
		if cert, err = tls.LoadX509KeyPair(c.certFile, c.keyFile); err == nil {
			c.mu.cert, c.mu.modTime = &cert, info.ModTime()
		}
	}
	if c.mu.cert != nil {
		return c.mu.cert, nil
	}
	return nil, err
}

// limited bounds the connections that are open at the same time.
type limited struct {
	net.Listener
	free   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
