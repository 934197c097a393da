package kingdee

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"

	"kdgate/identity"
	"kdgate/internal/peer"
)

// SignOut ends the user's sessions at Kingdee (LogoutByOtherSystem, reference
// 1.8). The vendor does not document the reply: any 2xx without an error text is
// done. An error means that Kingdee could not be told; the caller's own sign-out
// never waits for it. ErrNoLogoutNotice means that configuration forbids it.
func (c *Client) SignOut(ctx context.Context, user string) error {
	if c.cfg.NoLogoutNotice {
		return ErrNoLogoutNotice
	}
	if !plainText(user, 128) {
		return identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup, "kingdee: login user is empty, too long or holds control characters")
	}
	_, err := c.call(ctx, c.logoutCall(user))
	return err
}

func (c *Client) logoutCall(user string) operation {
	return operation{
		name: "logout", where: "logout", path: userService + "LogoutByOtherSystem" + serviceTail,
		contentType: formType, body: []byte("ap0=" + url.QueryEscape(string(c.logoutArgument(user)))),
		write: true, anonymous: true, read: readSignOut,
	}
}

// logoutArgument signs one timestamp and sends the same one, as a number.
func (c *Client) logoutArgument(user string) []byte {
	timestamp := c.now().Unix()
	text := strconv.FormatInt(timestamp, 10)
	argument := struct {
		AcctID     string
		AppId      string //nolint:revive // the vendor's spelling
		Username   string
		SignedData string
		Timestamp  int64
	}{c.cfg.DBID, c.cfg.AppID, user, sign(c.cfg.Link.Hash, c.cfg.AppSecret, c.cfg.DBID, user, c.cfg.AppID, text), timestamp}
	body, err := json.Marshal(argument)
	if err != nil { // plain fields always marshal
		return nil
	}
	return body
}

// readSignOut believes every 2xx that does not name an error: an empty body,
// true, false (nobody was logged in), or an object without IsSuccess false.
func readSignOut(res peer.Response) ([][]scalar, verdict) {
	body, v := triage(res, true)
	switch {
	case v.symptom == unexpected || (v.symptom == writeUnknown && statusSymptom(res.Status, true) == fine):
		return nil, verdict{} // plain text that names no error, or nothing at all
	case v.symptom != fine:
		return nil, v
	}
	var env envelope
	if err := json.Unmarshal(body, &env); err != nil {
		return nil, verdict{}
	}
	if told := errorIn(body); told.symptom != unexpected {
		return nil, told
	}
	return nil, verdict{}
}
