package app

import (
	"container/list"
	"io"
	"net"
	"net/http"
	"path"
	"sync"
	"syscall"
)

// exact answers 404 to a path that is not written the one way (//webhook, /a/../webhook). The mux would answer with a
// redirect to the right one: GitHub follows none, and who does would send a delivery with its signature once more, to
// wherever the Location says.
func exact(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.EscapedPath()
		c := path.Clean("/" + p)
		if c != p && c+"/" != p && p != "*" { // the mux has an answer to that one
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":"there is nothing at this address; is the path written exactly?"}`+"\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// mostConnections bounds what connections may take, some 20 KB each, where the system would allow more.
const mostConnections = 16_000

// connectionLimit is how many connections may be open at once: three quarters of the file descriptors that the process
// may have. The rest belongs to the database, GitHub and files, which must not fail because strangers hold sockets.
func connectionLimit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return mostConnections
	}
	return int(min(l.Cur-l.Cur/4, mostConnections))
}

// streamLimit is how many of the connections may be event streams, which last: at most three
// quarters, whatever was wished for.
func streamLimit(wish int) int { return min(wish, connectionLimit()*3/4) }

// connections keeps the number of open connections below a limit. One too many takes the place of the one that has
// been silent for longest: it has sent nothing yet, or waits between two requests. Only while every connection is in
// the middle of a request is the new one closed; those end by the server's time-outs.
type connections struct {
	most int

	mu     sync.Mutex
	open   map[net.Conn]*list.Element // nil while a request is being read or answered
	silent list.List                  // of net.Conn, the longest silent first
}

func newConnections(most int) *connections {
	return &connections{most: most, open: map[net.Conn]*list.Element{}}
}

// state belongs in http.Server.ConnState.
func (s *connections) state(c net.Conn, now http.ConnState) {
	victim := s.note(c, now)
	if t, ok := victim.(interface{ NetConn() net.Conn }); ok {
		victim = t.NetConn() // TLS would say goodbye first, and this goroutine accepts connections
	}
	if victim != nil {
		_ = victim.Close() // its own goroutine finds out, and notes StateClosed
	}
}

// note keeps the books and returns a connection to close.
func (s *connections) note(c net.Conn, now http.ConnState) (victim net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.open[c]; e != nil {
		s.silent.Remove(e)
	}
	switch now {
	case http.StateNew:
		if len(s.open) >= s.most {
			victim = c
			if oldest := s.silent.Front(); oldest != nil {
				victim = oldest.Value.(net.Conn)
				s.silent.Remove(oldest)
				s.open[victim] = nil // until it is noted as closed, nobody chooses it again
			}
		}
		s.open[c] = nil
		if victim != c {
			s.open[c] = s.silent.PushBack(c)
		}
	case http.StateIdle:
		s.open[c] = s.silent.PushBack(c)
	case http.StateActive:
		s.open[c] = nil
	default: // closed, or handed over to an event stream
		delete(s.open, c)
	}
	return victim
}
