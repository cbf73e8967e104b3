package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"
)

// welcomeNobody lets somebody in who does not have to say who they are, or returns a
// *problem with status 403. Where that is because only this machine gets here, the request
// has to be for this machine by name: a page from elsewhere can have its own name resolved
// to a loopback address, and is of the same origin then, as the browser sees it. The name
// is what it cannot change. With keys there is no need: it has none, and no cookie is sent
// to its name.
func (d *door) welcomeNobody(req *fasthttp.Request) (*visitor, error) {
	if !d.local || isLocalHost(string(req.Host())) {
		return nobody, nil
	}
	p := newProblem(http.StatusForbidden, "There are no keys, so requests have to be for localhost or a loopback address, and this one is for another host. "+
		"Make a key (millrace keys create), or say --insecure if something else guards this server.")
	p.Type, p.Title = problemType("host-not-local"), "Not for this machine"
	return nil, p
}

// isLocalHost reports whether a Host header, with a port or without, names this machine
// alone. Names below localhost do too (RFC 6761): no resolver may ask others for them.
func isLocalHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}
