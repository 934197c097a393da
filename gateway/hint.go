package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"kdgate/identity"
)

const (
	hintCookie = "__Host-kdgate-next"
	hintLife   = 10 * time.Second // from the sign-in to the launch that follows it
	maxHint    = 2 << 10          // characters
)

// hint tells the replica that meets the launch after a sign-in whose row it will
// need, while it still asks whose session that is: of two waits for a slow store
// one is left (R10). It says nothing of who somebody is: a row that was read for
// a wrong hint serves nobody, because the session has the word.
type hint struct {
	From   string           `json:"f"` // the replica that gave it, which has read the row already
	Who    identity.Subject `json:"s"`
	Door   identity.Door    `json:"d"`
	At     time.Time        `json:"t"` // of the sign-in
	Centre string           `json:"c"`
}

// hintPurpose keeps sealed hints and states apart.
const hintPurpose = "hint"

// giveHint leaves word of the launch to come with the browser.
func (g *Gateway) giveHint(w http.ResponseWriter, who identity.Assertion, centre string) {
	if g.cfg.Foreseer == nil || centre == "" {
		return
	}
	text, err := json.Marshal(hint{From: g.self, Who: who.Subject, Door: who.Door, At: who.At, Centre: centre})
	if err != nil {
		return // without it the launch asks one after the other
	}
	box, err := g.states.box(0, text, hintPurpose)
	if err != nil {
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: hintCookie, Value: box, Path: "/", MaxAge: int(hintLife.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// takeHint has the row read that a hint names, unless this replica has just read it.
func (g *Gateway) takeHint(r *http.Request) *sync.WaitGroup {
	var reading sync.WaitGroup
	cookies := r.CookiesNamed(hintCookie)
	if g.cfg.Foreseer == nil || len(cookies) != 1 || len(cookies[0].Value) > maxHint {
		return &reading
	}
	text, _, err := g.states.unbox(cookies[0].Value, hintPurpose)
	if err != nil {
		return &reading
	}
	var said hint
	age := time.Duration(0)
	if err = json.Unmarshal(text, &said); err == nil {
		age = g.cfg.Now().Sub(said.At)
	}
	if err != nil || said.From == g.self || age < -hintLife || age > 2*hintLife {
		return &reading
	}
	who := identity.Assertion{Subject: said.Who, Door: said.Door, At: said.At}
	reading.Go(func() { g.cfg.Foreseer.Expect(context.WithoutCancel(r.Context()), who, said.Centre) })
	return &reading
}
