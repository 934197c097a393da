package gateway

import (
	"bytes"
	"errors"
	"net/http"
	"sync"

	"kdgate/web"
)

// What stands in an imprint in place of a state and a nonce. Like both it is
// written the same everywhere in HTML and in addresses, so that the rest of a
// page does not depend on it.
const (
	blankState = "0-the-state-of-this-sign-in-stands-here-0"
	blankNonce = "0-the-nonce-of-this-sign-in-stands-here-0"
)

// imprints are the sign-in pages as they are shown first, rendered once: they
// differ from person to person in the state and the nonce alone, and everybody
// needs one. There are as many as languages times organisations, times two.
type imprints struct {
	mu   sync.RWMutex
	made map[imprintKey]imprint
}

type imprintKey struct {
	lang, corp string
	restarted  bool
}

// imprint is a page cut at its blanks; isNonce says which blank follows a piece.
type imprint struct {
	pieces  [][]byte
	isNonce []bool
}

func newImprints() *imprints { return &imprints{made: map[imprintKey]imprint{}} }

// hasImprint reports whether the page of st is one of those: nothing went wrong
// before, and its address says nothing but the state.
func hasImprint(r *http.Request, st signIn) bool {
	return st.Failed == "" && r.Method == http.MethodGet && r.URL.Path == signInPath &&
		r.URL.RawQuery == "state="+st.state && isPlain(st.state)
}

// isPlain reports a state that is written the same everywhere in HTML and in addresses.
func isPlain(state string) bool {
	for i := range len(state) {
		b := state[i]
		if (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'z') && b != '-' && b != '_' {
			return false
		}
	}
	return state != ""
}

// body is the page with the state and the nonce in it; render makes the imprint
// where there is none yet.
func (i *imprints) body(key imprintKey, state, nonce string, render func() ([]byte, error)) ([]byte, error) {
	i.mu.RLock()
	found, ok := i.made[key]
	i.mu.RUnlock()
	if !ok {
		page, err := render()
		if err != nil {
			return nil, err
		}
		if found, err = newImprint(page); err != nil {
			return nil, err
		}
		i.mu.Lock()
		i.made[key] = found
		i.mu.Unlock()
	}
	return found.fill(state, nonce), nil
}

func newImprint(page []byte) (imprint, error) {
	var cut imprint
	for {
		state, nonce := bytes.Index(page, []byte(blankState)), bytes.Index(page, []byte(blankNonce))
		if state < 0 && nonce < 0 {
			break
		}
		isNonce := state < 0 || nonce >= 0 && nonce < state
		at, size := state, len(blankState)
		if isNonce {
			at, size = nonce, len(blankNonce)
		}
		cut.pieces, cut.isNonce = append(cut.pieces, page[:at]), append(cut.isNonce, isNonce)
		page = page[at+size:]
	}
	cut.pieces = append(cut.pieces, page)
	if len(cut.pieces) < 3 {
		return imprint{}, errors.New("gateway: the sign-in page does not show its state and its nonce")
	}
	return cut, nil
}

func (i imprint) fill(state, nonce string) []byte {
	size := 0
	for _, piece := range i.pieces {
		size += len(piece) + max(len(state), len(nonce))
	}
	out := make([]byte, 0, size)
	for n, piece := range i.pieces {
		out = append(out, piece...)
		switch {
		case n == len(i.isNonce):
		case i.isNonce[n]:
			out = append(out, nonce...)
		default:
			out = append(out, state...)
		}
	}
	return out
}

// imprinted is render for the sign-in page of st, by way of its imprint.
func (g *Gateway) imprinted(p page, words web.Words, st signIn, nonce string) ([]byte, error) {
	key := imprintKey{words.Lang, st.Corp, st.Restarts > 0}
	return g.imprints.body(key, st.state, nonce, func() ([]byte, error) {
		blank := st
		blank.state = blankState
		p.data = g.signInView(blank, blankNonce)
		return g.render(p, words, signInAddress(blankState)+"&")
	})
}
