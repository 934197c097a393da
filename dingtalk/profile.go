package dingtalk

import (
	"context"

	"kdgate/identity"
)

// Profile reads one person from the address book (reference 5.3), as far as
// sign-in and the mapping need to know them. Kind NotFound means that DingTalk
// was asked and has no such person in this organisation, or that the person
// has left.
func (c *Client) Profile(ctx context.Context, userid string) (identity.Profile, error) {
	r, err := c.user(ctx, opUser, userid)
	if err != nil {
		return identity.Profile{}, err
	}
	return identity.Profile{
		Subject: identity.Subject{Corp: c.cfg.Corp, UserID: r.UserID}, UnionID: r.UnionID, Name: r.Name,
		JobNumber: r.JobNumber, Mobile: r.Mobile, Title: r.Title,
		Extension: decodeExtension(r.Extension), HiredAt: milli(r.HiredDate), Active: bool(r.Active),
	}, nil
}
