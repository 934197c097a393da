package kingdee

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"kdgate/identity"
)

// Redeem opens a login link once, as a browser would, follows nothing, and
// reports whether Kingdee let its user in: a session cookie, and a way on to the
// console that holds a user token (reference 1.7). Cookies alone prove nothing,
// and neither does status 200. The link is used up by it; the session it opens is
// the user's until SignOut. A link that was not taken is KD-403, no answer KD-401.
func (c *Client) Redeem(ctx context.Context, link identity.Secret) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link.Reveal(), nil)
	if err != nil || !strings.EqualFold(req.URL.Host, c.base.Host) || req.URL.Scheme != c.base.Scheme {
		return identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup, "kingdee: the link is of no page of %s", c.cfg.ID) // the error would print it
	}
	req.Header.Set("Accept", "text/html")
	req.Header.Set("User-Agent", "kdgate")
	began := c.now()
	res, err := c.peer.Do(ctx, req)
	result := "ok"
	switch {
	case err != nil:
		result = "no-answer"
		err = identity.Fail(identity.Upstream, identity.CodeKingdeeDown, "kingdee: redeem: %w", err)
	case res.Status >= http.StatusInternalServerError:
		result = "no-answer"
		err = identity.Fail(identity.Upstream, identity.CodeKingdeeDown, "kingdee: redeem: status %d", res.Status)
	case !landed(res.Header, res.Body):
		result = "refused"
		err = identity.Fail(identity.Upstream, identity.CodeLinkRefused, "kingdee: redeem: status %d without a session and a way on", res.Status)
	}
	if c.cfg.Observer != nil {
		c.cfg.Observer("redeem", result, c.now().Sub(began))
	}
	return err
}

// landed reports whether an answer to a link opened a session: by a redirect, or
// by a page whose script goes on.
func landed(header http.Header, body []byte) bool {
	session := false
	for _, cookie := range (&http.Response{Header: header}).Cookies() {
		session = session || cookie.Name == sessionField && cookie.Value != ""
	}
	const token = "usertoken="
	return session && (strings.Contains(header.Get("Location"), token) || bytes.Contains(body, []byte(token)))
}
