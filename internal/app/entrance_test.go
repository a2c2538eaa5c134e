package app

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// A sender that is sent elsewhere sends its delivery, and the signature, once more: no path is answered with a redirect.
func TestAPathIsWrittenOneWay(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/webhook", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for path, want := range map[string]int{
		"/webhook": 202, "/": 418, "/webhook/": 418, "/webhook/events": 418, "/pulls/a/b/1": 418, "/webhook%2F": 418, "/a%2F%2Fb": 418,
		"//webhook": 404, "///webhook": 404, "/./webhook": 404, "/a/../webhook": 404, "/webhook//": 404, "/webhook/.": 404,
		"//evil.example/webhook": 404, "/../webhook": 404, "/webhook/../webhook": 404,
	} {
		for _, method := range []string{"POST", "GET", "OPTIONS"} {
			w := httptest.NewRecorder()
			exact(mux).ServeHTTP(w, httptest.NewRequest(method, "http://example.com"+path, nil))
			if w.Code != want || w.Header().Get("Location") != "" {
				t.Errorf("%s %s = %d, Location %q; want %d and none", method, path, w.Code, w.Header().Get("Location"), want)
			}
		}
	}
}

// A conn is a connection with a name that notes whether it was closed.
type conn struct {
	net.Conn
	name   string
	closed *[]string
}

func (c *conn) Close() error { *c.closed = append(*c.closed, c.name); return nil }

func TestConnectionsAreBounded(t *testing.T) {
	s := newConnections(4)
	var closed []string
	conns := map[string]*conn{}
	is := func(name string, now http.ConnState) {
		if conns[name] == nil {
			conns[name] = &conn{name: name, closed: &closed}
		}
		s.state(conns[name], now)
	}
	want := func(when string, names ...string) {
		t.Helper()
		if !slices.Equal(closed, names) {
			t.Fatalf("%s: closed %q, want %q", when, closed, names)
		}
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		is(name, http.StateNew)
	}
	is("a", http.StateActive)
	want("as many as may be")
	is("e", http.StateNew)
	want("one more", "b") // a is in a request
	is("b", http.StateClosed)
	is("a", http.StateIdle)
	is("c", http.StateActive)
	is("f", http.StateNew)
	want("a is silent for less long than d", "b", "d")
	is("d", http.StateActive) // its first byte was on the way: too late
	is("d", http.StateClosed)
	for _, name := range []string{"a", "e", "f"} {
		is(name, http.StateActive)
	}
	is("g", http.StateNew)
	want("all are in a request", "b", "d", "g")
	is("g", http.StateClosed)
	is("e", http.StateHijacked)
	is("h", http.StateNew)
	want("one was handed over", "b", "d", "g")
	for i := range 1000 {
		is(fmt.Sprint(i), http.StateNew)
	}
	if len(s.open) > 4+len(closed) || s.silent.Len() > 4 {
		t.Errorf("%d open and %d silent connections in the books after %d were closed, want no more than those", len(s.open), s.silent.Len(), len(closed))
	}
	for _, c := range conns {
		s.state(c, http.StateClosed)
	}
	if len(s.open) != 0 || s.silent.Len() != 0 {
		t.Errorf("%d open and %d silent connections in the books when all are closed", len(s.open), s.silent.Len())
	}
}
