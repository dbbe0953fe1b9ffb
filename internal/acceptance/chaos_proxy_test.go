package acceptance

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire is the network between workers and a PostgreSQL: it can be cut, and it
// can go quiet without a word.
type wire struct {
	listener net.Listener
	socket   func() string

	mu    sync.Mutex
	conns map[net.Conn]bool
	cut   bool
	// flows is closed while bytes flow.
	flows chan struct{}
}

func newWire(t *testing.T, s *ownServer) *wire {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, conns: map[net.Conn]bool{}, flows: make(chan struct{}), socket: s.socket}
	close(w.flows)
	go w.serve()
	t.Cleanup(func() {
		_ = l.Close()
		w.cutOff()
		w.mend()
	})
	return w
}

// socket is where the server listens just now: a restart chooses anew.
func (s *ownServer) socket() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := url.Parse(s.pg.SuperuserURL("postgres"))
	if err != nil {
		return ""
	}
	return u.Query().Get("host") + "/.s.PGSQL." + u.Query().Get("port")
}

// url is the address of a database behind the wire, for the role app.
func (w *wire) url(db string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(ownPrefix+"_app", ownPassword), Host: w.listener.Addr().String(), Path: "/" + db, RawQuery: "sslmode=disable&connect_timeout=5"}
	return u.String()
}

func (w *wire) serve() {
	for {
		in, err := w.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		go w.join(in)
	}
}

func (w *wire) join(in net.Conn) {
	defer in.Close()
	w.mu.Lock()
	cut, flows := w.cut, w.flows
	w.mu.Unlock()
	if cut {
		return
	}
	<-flows
	out, err := new(net.Dialer).DialContext(context.Background(), "unix", w.socket())
	if err != nil {
		return
	}
	defer out.Close()
	w.mu.Lock()
	w.conns[in], w.conns[out] = true, true
	w.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			w.copy(pair[1], pair[0])
			done <- struct{}{}
		}()
	}
	<-done
	w.mu.Lock()
	delete(w.conns, in)
	delete(w.conns, out)
	w.mu.Unlock()
}

func (w *wire) copy(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		w.mu.Lock()
		flows := w.flows
		w.mu.Unlock()
		<-flows
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cutOff resets every connection and takes no other.
func (w *wire) cutOff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for c := range w.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

// hold lets no byte through in either direction; nobody is told.
func (w *wire) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flows = make(chan struct{})
}

// mend ends a cut or a hold.
func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = false
	select {
	case <-w.flows:
	default:
		close(w.flows)
	}
}
