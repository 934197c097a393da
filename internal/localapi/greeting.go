package localapi

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"kdgate/identity"
)

// The greeting. A gateway that dies without warning leaves its address and
// token in the data folder, and another program may take the port. So before
// anything else is said on a connection, the client sends a fresh nonce and the
// other side answers with a MAC of it under the token: only who wrote the file,
// or may read it, can. The token itself goes only over a connection that has
// proven this. Each connection proves itself, so there is no moment between the
// greeting and the request in which the port could change hands. A proof cannot
// be had from another gateway and passed on, because each start draws a token.
const (
	helloPath  = Prefix + "hello"
	nonceSize  = 64              // characters at most
	greetTime  = 2 * time.Second // a program that listens and says nothing
	greetBytes = 8 << 10         // and one that says too much
)

// errStranger is an answer that proves nothing.
var errStranger = errors.New("localapi: what answers here is not the gateway that wrote " + TokenFile)

// proof is what only a holder of the token can answer.
func proof(token identity.Secret, nonce string) string {
	mac := hmac.New(sha256.New, []byte(token.Reveal()))
	_, _ = io.WriteString(mac, "kdgate local api hello\n"+nonce) // a hash takes everything
	return hex.EncodeToString(mac.Sum(nil))
}

// hello answers a greeting. It is the one route without the token.
func (h handler) hello(w http.ResponseWriter, r *http.Request) {
	nonce := r.URL.Query().Get("nonce")
	if nonce == "" || len(nonce) > nonceSize {
		answer(w, http.StatusBadRequest, &Fault{Kind: identity.Invalid, Words: "a nonce is wanted"})
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, proof(h.Token, nonce))
}

// dialer connects to address and gives back only connections whose other side
// has proven itself.
func dialer(address string, token identity.Secret) func(ctx context.Context, network, _ string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, greetTime)
		defer cancel()
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		err = greet(ctx, conn, address, token)
		if !stop() {
			err = errors.Join(err, ctx.Err())
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errStranger, errors.Join(err, conn.Close()))
		}
		return conn, nil
	}
}

// greet speaks HTTP by hand, so that it is this connection that is proven.
func greet(ctx context.Context, conn net.Conn, address string, token identity.Secret) error {
	nonce := rand.Text()
	ask := "http://" + address + helloPath + "?nonce=" + url.QueryEscape(nonce)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ask, nil)
	if err != nil {
		return err
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	reader := bufio.NewReader(io.LimitReader(conn, greetBytes))
	res, err := http.ReadResponse(reader, req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case !hmac.Equal(text, []byte(proof(token, nonce))):
		return errors.New("wrong proof")
	case res.Close || reader.Buffered() > 0:
		return errors.New("the connection cannot be used further")
	}
	return nil
}
