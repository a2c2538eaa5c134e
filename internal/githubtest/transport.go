package githubtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// Transport returns a RoundTripper that calls the server in the caller's goroutine: no sockets, nothing left behind.
// A request whose context ends fails as it would on a network, and so does one that meets a fault.
func (s *Server) Transport() http.RoundTripper { return InProcess(s) }

// InProcess returns a RoundTripper that calls a handler in the caller's goroutine. The handler's answer is complete
// before the caller sees it. A handler that panics with http.ErrAbortHandler resets the connection.
func InProcess(h http.Handler) http.RoundTripper { return inProcess{h} }

type inProcess struct{ h http.Handler }

func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if req.Body == nil {
		req = req.Clone(ctx)
		req.Body = http.NoBody
	}
	defer req.Body.Close()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := req.Clone(ctx)
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:12345"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	rec := &recorder{header: http.Header{}}
	aborted, unsent := rec.serve(t.h, in)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if unsent != nil {
		return nil, unsent
	}
	if aborted && rec.status == 0 {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	var body io.Reader = bytes.NewReader(rec.body.Bytes())
	length := int64(rec.body.Len())
	if aborted {
		body, length = io.MultiReader(body, brokenOff{}), -1
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", rec.status, http.StatusText(rec.status)), StatusCode: rec.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: rec.sent, Body: io.NopCloser(body), ContentLength: length, Request: req,
	}, nil
}

type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type recorder struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

// An unsent is what a handler panics with to say why its request never left the client.
type unsent struct{ error }

func (r *recorder) serve(h http.Handler, req *http.Request) (aborted bool, never error) {
	defer func() {
		switch x := recover().(type) {
		case nil:
		case unsent:
			never = x.error
		case error:
			if !errors.Is(x, http.ErrAbortHandler) {
				panic(x)
			}
			aborted = true
		default:
			panic(x)
		}
	}()
	h.ServeHTTP(r, req)
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	return false, nil
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status, r.sent = status, r.header.Clone()
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

// Flush lets handlers stream; what they stream arrives when they are done.
func (r *recorder) Flush() {}
