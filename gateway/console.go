package gateway

import (
	"net/http"
	"strings"

	"kdgate/identity"
)

// ConsolePrefix is where the console stands. Its handlers come from another
// room; a sign-in may lead there.
const ConsolePrefix = "/admin/"

// SignIn begins a sign-in that leads to a path and query of ours, also where a
// session lives: whoever asks wants the person proven now (T14). What is no
// place of ours leads home.
func (g *Gateway) SignIn(w http.ResponseWriter, r *http.Request, address string) error {
	path, query, _ := strings.Cut(address, "?")
	place := wanted{Path: path, Query: query, Fresh: true}
	if !ownPlace(path) {
		place.Path = homePath
	}
	return g.begin(w, r, place)
}

// isConsole reports whether path is a page of the console.
func isConsole(path string) bool {
	return strings.HasPrefix(path, ConsolePrefix)
}

// isAPI reports whether path is one that programs ask, not people.
func isAPI(path string) bool {
	return strings.HasPrefix(path, ConsolePrefix+"api/")
}

// FaultOf says whose fault a short code is: none, user, dingtalk, kingdee or
// gateway (F15). For reports; the metrics are counted by the same rule.
func FaultOf(code identity.Code) string { return faultOf(code) }
