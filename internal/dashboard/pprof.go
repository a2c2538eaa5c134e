package dashboard

import (
	"net/http"
	"net/http/pprof"
)

// profiles serves what the runtime knows of itself, to whoever may see the pages: to `go tool pprof`, by way of curl, which
// can show the token. The list of profiles is a page of net/http/pprof's own, with a style of its own.
func (d *Dashboard) profiles(w http.ResponseWriter, r *http.Request) error {
	switch r.PathValue("profile") {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		pprof.Index(w, r)
	}
	return nil
}
