package kingdee

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"kdgate/identity"
	"kdgate/internal/peer"
)

// ErrNoLogoutNotice is SignOut's answer when configuration forbids telling
// Kingdee: the Kingdee session lives on until it is idle.
var ErrNoLogoutNotice = errors.New("kingdee: sign-out notice is switched off")

// Client speaks to one data centre. It is safe for concurrent use.
type Client struct {
	cfg    Config
	base   *url.URL
	listed map[string]bool
	peer   *peer.Client
	now    func() time.Time
	log    *slog.Logger
	clock  *clock
}

// New checks cfg, fills its defaults and makes a client. It does not call
// Kingdee. All mistakes are reported at once, joined.
func New(cfg Config) (*Client, error) {
	cfg = withDefaults(cfg)
	base, err := validate(cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, base: base, peer: cfg.Peer, now: cfg.Now, log: cfg.Logger.With("data_centre", cfg.ID)}
	c.clock = &clock{now: c.now, log: c.log}
	if len(cfg.Users.Listed) > 0 {
		c.listed = make(map[string]bool, len(cfg.Users.Listed))
		for _, name := range cfg.Users.Listed {
			c.listed[name] = true
		}
	}
	if c.WeakHash() {
		c.log.Warn("kingdee: links are signed with SHA-1; raise link.version to 4 once the server is at 8.0.0.202205 or later")
	}
	return c, nil
}

// WeakHash reports whether any signature of this data centre uses SHA-1, for
// the health page (T34).
func (c *Client) WeakHash() bool {
	return c.cfg.Link.Hash == SHA1 || c.cfg.API.Hash == SHA1 || (c.cfg.Link.Mobile && c.cfg.Link.MobileHash == SHA1)
}

// StaffByNumber asks for the staff records (员工) that carry the number.
func (c *Client) StaffByNumber(ctx context.Context, number string) ([]Staff, error) {
	return nil, identity.Fail(identity.Internal, identity.CodeInternal, "kingdee: not built yet")
}

// UsersOfStaff asks for the login users of a staff record.
func (c *Client) UsersOfStaff(ctx context.Context, staff Staff) ([]User, error) {
	return nil, identity.Fail(identity.Internal, identity.CodeInternal, "kingdee: not built yet")
}

// UserByName asks for the login users whose 用户名称 is exactly name.
func (c *Client) UserByName(ctx context.Context, name string) ([]User, error) {
	return nil, identity.Fail(identity.Internal, identity.CodeInternal, "kingdee: not built yet")
}

// SignOut ends the user's Kingdee sessions (LogoutByOtherSystem).
func (c *Client) SignOut(ctx context.Context, user string) error {
	return identity.Fail(identity.Internal, identity.CodeInternal, "kingdee: not built yet")
}

// Probe logs in and tries every configured form.
func (c *Client) Probe(ctx context.Context) error {
	return identity.Fail(identity.Internal, identity.CodeInternal, "kingdee: not built yet")
}
