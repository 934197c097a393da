package kingdee

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"kdgate/identity"
)

// MintLink builds a third-party sign-on link (SimPas) for the login user (FName,
// byte for byte as Kingdee spells it), landing on place. It is MintSharedLink for
// a process that shares no store, and calls nobody.
func (c *Client) MintLink(user string, place Place) (identity.Secret, error) {
	return c.mint(user, place, func(now time.Time) (int64, error) { return c.stamps.next(user, now), nil })
}

// MintSharedLink is MintLink beside other replicas: it asks Config.Claim, and
// Kingdee for its time where that was not told lately (ReadClock). The
// timestamp is now (Kingdee's now where its clock is behind, see clock; a second
// earlier when that is taken, see stamps). The link is a credential: redirect to
// it once, with no-store and no-referrer, and never write it down. A place that cannot be
// right is KD-301, a user that cannot be signed or is not listed is KD-402 or
// KD-204, and a clock too far from Kingdee's is KD-402.
func (c *Client) MintSharedLink(ctx context.Context, user string, place Place) (identity.Secret, error) {
	c.ReadClock(ctx)
	return c.mint(user, place, func(now time.Time) (int64, error) { return c.claimed(ctx, user, now) })
}

// mint builds the link once stamp has said of which second it is.
func (c *Client) mint(user string, place Place, stamp func(now time.Time) (int64, error)) (identity.Secret, error) {
	if place.Entry == "" {
		place.Entry = c.usualEntry(place)
	}
	if err := c.checkUser(user); err != nil {
		return identity.Secret{}, err
	}
	if err := c.checkPlace(place); err != nil {
		return identity.Secret{}, err
	}
	if err := c.clock.check(c.cfg.Link.Window); err != nil {
		return identity.Secret{}, err
	}
	second, err := stamp(c.clock.stamp(c.cfg.Link.Window))
	if err != nil {
		return identity.Secret{}, err
	}
	timestamp := strconv.FormatInt(second, 10) // text of seconds; milliseconds fall outside Kingdee's window
	if place.Entry == EntryMobile {
		return identity.NewSecret(c.mobileURL(user, place, timestamp)), nil
	}
	text, err := c.payload(user, place, timestamp)
	if err != nil {
		return identity.Secret{}, err
	}
	return identity.NewSecret(c.entryURL(place.Entry, base64.StdEncoding.EncodeToString(text))), nil
}

// usualEntry is where a place opens that says nothing of it. The light page shows
// one form alone, so whoever clicks the icon itself comes to the console.
func (c *Client) usualEntry(place Place) Entry {
	if c.cfg.Link.Entry == EntryLight && place.FormID == "" {
		return EntryHTML5
	}
	return c.cfg.Link.Entry
}

// checkUser refuses a name that cannot be signed faithfully.
func (c *Client) checkUser(user string) error {
	switch {
	case !plainText(user, 128):
		return identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup, "kingdee: login user is empty, too long or holds control characters")
	case c.cfg.Link.Version == 1 && strings.Contains(user, "|"):
		return identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup, "kingdee: a V1 link cannot carry a login user with a bar")
	case c.listed != nil && !c.listed[user]:
		return identity.Fail(identity.Forbidden, identity.CodeUserForbidden, "kingdee: login user is not on the list of the authorisation row")
	}
	return nil
}

// formTypes are the vendor's (reference 1.2); mobileTypes those of the mobile page.
var (
	formTypes   = []string{"bill", "list", "wnreport", "sqlreport", "sysreport", "treereport", "movereport", "dynamicform"}
	mobileTypes = []string{"", "mobileform", "mobilelist", "mobileurl"}
)

// checkPlace is the second lock on deep links: places come from the server-side
// list of forms, and still only clean ones are written, because Kingdee does not
// sign these fields (T31).
func (c *Client) checkPlace(place Place) error {
	types := formTypes
	switch place.Entry {
	case EntryHTML5, EntryWPF:
	case EntryLight:
		if place.FormID == "" {
			return badPlace("the light page needs a form")
		}
	case EntryMobile:
		types = mobileTypes
		if !c.cfg.Link.Mobile {
			return badPlace("the mobile entry is switched off")
		}
	default:
		return badPlace("unknown entry")
	}
	if place.FormID == "" {
		if place.FormType != "" || place.PK != "" {
			return badPlace("a form type or key without a form")
		}
		return nil
	}
	switch {
	case !formKey(place.FormID):
		return badPlace("form id is not clean")
	case !slices.Contains(types, place.FormType):
		return badPlace("form type is not known")
	case place.PK != "" && !plainText(place.PK, 100):
		return badPlace("primary key is not clean")
	}
	return nil
}

func badPlace(why string) error {
	return identity.Fail(identity.Invalid, identity.CodeUnknownTarget, "kingdee: place refused: %s", why)
}

// payload is the text inside ud: the pipe text of V1 or the JSON of V2–V4.
func (c *Client) payload(user string, place Place, timestamp string) ([]byte, error) {
	link := c.cfg.Link
	values := []string{c.cfg.DBID, user, c.cfg.AppID, timestamp, link.Permitcount}
	if link.Permitcount == None {
		values = values[:4] // the count is signed exactly when the link carries it
	}
	p := simpas{
		dbid: c.cfg.DBID, username: user, appid: c.cfg.AppID, timestamp: timestamp,
		lcid: strconv.Itoa(c.cfg.LCID), place: place, permitcount: link.Permitcount,
		signed: sign(link.Hash, c.cfg.AppSecret, values...),
	}
	var text []byte
	if link.Version == 1 {
		text = p.pipes()
	} else {
		text = p.json(link.Characters == "ascii", link.Extra)
	}
	if link.Characters != "gbk" {
		return text, nil
	}
	gbk, err := simplifiedchinese.GBK.NewEncoder().Bytes(text)
	if err != nil {
		return nil, identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup, "kingdee: login user cannot be written in GBK")
	}
	return gbk, nil
}

// simpas is one link's payload.
type simpas struct {
	dbid, username, appid, signed, timestamp, lcid string
	permitcount                                    string // None: not carried
	place                                          Place
}

func (p simpas) pipes() []byte {
	return []byte("|" + strings.Join([]string{p.dbid, p.username, p.appid, p.signed, p.timestamp, p.lcid}, "|"))
}

// json writes strict JSON in the vendor's field order. The server parses it, so
// the order is custom, kept because every vector and sample has it.
func (p simpas) json(ascii bool, extra []ExtraField) []byte {
	otherargs, openmode := "", "null"
	if p.permitcount != None {
		otherargs = "|{'permitcount':'" + p.permitcount + "'}" // leading bar, single quotes: double ones make the server fail
	}
	if p.place.Entry == EntryLight {
		openmode = `"Single"`
	}
	fields := [...][2]string{
		{"dbid", p.dbid},
		{"username", p.username},
		{"appid", p.appid},
		{"signeddata", p.signed},
		{"timestamp", p.timestamp},
		{"lcid", p.lcid},
		{"origintype", "SimPas"},
		{"entryrole", ""},
		{"formid", p.place.FormID},
		{"formtype", p.place.FormType},
		{"pkid", p.place.PK},
		{"otherargs", otherargs},
	}
	out := append(make([]byte, 0, 512), '{')
	for _, field := range fields {
		out = append(append(append(out, '"'), field[0]...), '"', ':')
		out = append(appendQuoted(out, field[1], ascii), ',')
	}
	out = append(append(out, `"openmode":`...), openmode...)
	for _, field := range extra {
		out = append(append(append(out, ',', '"'), field.Name...), '"', ':')
		if field.Value == nil {
			out = append(out, "null"...)
			continue
		}
		out = appendQuoted(out, *field.Value, ascii)
	}
	return append(out, '}')
}

// appendQuoted writes s as a JSON string. With ascii every other character
// becomes \uXXXX in lower-case hex, with surrogate pairs outside the BMP: such
// text reads the same under UTF-8 and GBK, which settles the one doubtful
// question about ud (reference 1.4). strconv.QuoteToASCII would write \U.
func appendQuoted(out []byte, s string, ascii bool) []byte {
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r < ' ' || (ascii && r > '~'):
			first, second := codeUnits(r)
			out = appendEscape(out, first)
			if second != 0 {
				out = appendEscape(out, second)
			}
		default:
			out = append(out, string(r)...)
		}
	}
	return append(out, '"')
}

func appendEscape(out []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	return append(out, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}

// entryURL puts the Base64 text behind the entry's address. The text is
// percent-encoded: a raw + may be read as a space by ASP.NET.
func (c *Client) entryURL(entry Entry, ud string) string {
	link := c.cfg.Link
	tail := url.QueryEscape(ud)
	if link.UDEncoding != None {
		tail += "&udencoding=" + url.QueryEscape(link.UDEncoding)
	}
	switch entry {
	case EntryWPF:
		return wpfURL(c.base, c.cfg.LCID, tail)
	case EntryLight:
		return c.base.String() + link.LightPage + "?ud=" + tail
	default:
		return c.base.String() + link.HTML5Page + "?ud=" + tail
	}
}

// wpfURL starts the desktop client. The port is always written, and LoginUrl
// stays un-encoded, because the client does not decode it (reference 1.5).
func wpfURL(base *url.URL, lcid int, ud string) string {
	port := base.Port()
	switch {
	case port != "":
	case base.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	host := base.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("K3cloud://%s:%s/k3cloud/Clientbin/K3cloudclient/K3cloudclient.manifest?Lcid=%d&ExeType=WPFRUNTIME&LoginUrl=%s&ud=%s",
		host, port, lcid, base, ud)
}

// mobileURL is the third-party mobile page: plain parameters, five values.
func (c *Client) mobileURL(user string, place Place, timestamp string) string {
	if place.FormType == "" {
		place.FormType = "mobileform"
	}
	signed := sign(c.cfg.Link.MobileHash, c.cfg.AppSecret, c.cfg.DBID, user, c.cfg.AppID, timestamp)
	var query strings.Builder
	for _, pair := range [...][2]string{
		{"acctid", c.cfg.DBID},
		{"username", user},
		{"appid", c.cfg.AppID},
		{"sign", signed},
		{"timestamp", timestamp},
		{"lcid", strconv.Itoa(c.cfg.LCID)},
		{"formid", place.FormID},
		{"formtype", place.FormType},
	} {
		separator := "&"
		if query.Len() == 0 {
			separator = "?"
		}
		query.WriteString(separator + pair[0] + "=" + url.QueryEscape(pair[1]))
	}
	return c.base.String() + c.cfg.Link.MobilePage + query.String()
}
