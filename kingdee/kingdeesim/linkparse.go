package kingdeesim

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"kdgate/kingdee/kingdeesim/internal/loose"
)

// errLink is a link that cannot be read at all.
var errLink = errors.New("unreadable link")

// link is a third-party sign-on link, read but not yet believed.
type link struct {
	version          int // 1 for pipe text, 2 for JSON (V2 to V4 read alike), 0 for the mobile page
	centreID, user   string
	appID, sign      string
	timestamp, lcid  string
	originType, role string
	permitCount      string // "", "0" or "1"
	hasPermit        bool
	loginAgain       string
	hash             string // the page's own digest; "" is the tenant's
	place            place
}

// signedExtras are the values signed beside the five: permitcount when
// otherargs carries it, loginAgain when it is not empty.
func (l link) signedExtras() []string {
	var out []string
	if l.hasPermit {
		out = append(out, l.permitCount)
	}
	if l.loginAgain != "" {
		out = append(out, l.loginAgain)
	}
	return out
}

// parseUD reads the ud parameter, given as the query text between "ud=" and
// "&", still percent-encoded. udencoding is "" when the link has none.
func parseUD(rawUD, udencoding string, gbkByDefault bool) (link, error) {
	// PathUnescape leaves a raw "+" alone; QueryUnescape makes it a space. Both
	// occur, and payloadOf puts Base64's plus signs back (K80).
	value, err := url.PathUnescape(rawUD)
	if err != nil {
		return link{}, fmt.Errorf("%w: %w", errLink, err)
	}
	raw := payloadOf(value)
	text, err := decodeCharset(raw, udencoding, gbkByDefault)
	if err != nil {
		return link{}, err
	}
	text = strings.TrimSpace(text)
	switch {
	case strings.HasPrefix(text, "|"):
		return parsePipe(text)
	case strings.HasPrefix(text, "{"):
		return parseJSONLink(text)
	default:
		return link{}, fmt.Errorf("%w: neither pipe text nor JSON", errLink)
	}
}

// payloadOf undoes Base64, with or without padding, a space standing for a plus
// sign; text that is not Base64 is the payload itself.
func payloadOf(value string) []byte {
	if strings.HasPrefix(value, "|") || strings.HasPrefix(strings.TrimSpace(value), "{") {
		return []byte(value)
	}
	packed := strings.ReplaceAll(value, " ", "+")
	packed = strings.TrimRight(packed, "=")
	raw, err := base64.RawStdEncoding.DecodeString(packed)
	if err != nil {
		return []byte(value)
	}
	return raw
}

// decodeCharset turns the payload's bytes into text (K82).
func decodeCharset(raw []byte, udencoding string, gbkByDefault bool) (string, error) {
	name := strings.ToLower(udencoding)
	if name == "" && gbkByDefault {
		name = "gbk"
	}
	switch name {
	case "", "utf-8", "utf8":
		return strings.ToValidUTF8(string(raw), string(utf8.RuneError)), nil
	case "gbk", "gb2312", "gb18030":
		text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(raw)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errLink, err)
		}
		return string(text), nil
	default:
		return "", fmt.Errorf("%w: udencoding %q", errLink, udencoding)
	}
}

// parsePipe reads V1: |dbid|username|appid|signeddata|timestamp[|lcid].
func parsePipe(text string) (link, error) {
	parts := strings.Split(text, "|")
	if len(parts) != 6 && len(parts) != 7 {
		return link{}, fmt.Errorf("%w: pipe text of %d parts", errLink, len(parts)-1)
	}
	l := link{version: 1, centreID: parts[1], user: parts[2], appID: parts[3], sign: parts[4], timestamp: parts[5]}
	if len(parts) == 7 {
		l.lcid = parts[6]
	}
	return l.checked()
}

// parseJSONLink reads V2 to V4.
func parseJSONLink(text string) (link, error) {
	value, err := loose.Parse(text)
	if err != nil {
		return link{}, fmt.Errorf("%w: %w", errLink, err)
	}
	o, ok := value.(loose.Object)
	if !ok {
		return link{}, errLink
	}
	get := func(name string) string { return exact(o, name) }
	l := link{
		version: 2, centreID: get("dbid"), user: get("username"), appID: get("appid"), sign: get("signeddata"),
		timestamp: get("timestamp"), lcid: get("lcid"), originType: get("origintype"), role: get("entryrole"), loginAgain: get("loginAgain"),
		place: place{
			formID: get("formid"), formType: get("formtype"), pkID: get("pkid"), openMode: get("openmode"), otherArgs: get("otherargs"),
		},
	}
	if l.permitCount, l.hasPermit, err = permitCount(l.place.otherArgs); err != nil {
		return link{}, err
	}
	return l.checked()
}

// exact is a member by its exact name: the keys of a link are lower case.
func exact(o loose.Object, name string) string {
	out := ""
	for _, m := range o {
		if m.Name == name {
			out = loose.Text(m.Value)
		}
	}
	return out
}

// formTypes are the kinds of form a link may name.
const formTypes = " bill list wnreport sqlreport sysreport treereport movereport dynamicform mobile mobileform mobilelist mobileurl "

func (l link) checked() (link, error) {
	l.lcid = orElse(l.lcid, "2052")
	l.place.lcid = l.lcid
	switch {
	case slices.Contains([]string{l.centreID, l.user, l.appID, l.sign, l.timestamp}, ""):
		return link{}, fmt.Errorf("%w: a signed field is missing", errLink)
	case !knownLanguage(l.lcid):
		return link{}, fmt.Errorf("%w: lcid %q", errLink, l.lcid)
	case !l.knownOrigin():
		return link{}, fmt.Errorf("%w: origintype %q with entryrole %q", errLink, l.originType, l.role)
	case l.place.formType != "" && !strings.Contains(formTypes, " "+l.place.formType+" "):
		return link{}, fmt.Errorf("%w: formtype %q", errLink, l.place.formType)
	case l.place.openMode != "" && l.place.openMode != "Single":
		return link{}, fmt.Errorf("%w: openmode %q", errLink, l.place.openMode)
	}
	return l, nil
}

// knownOrigin takes SimPas in any letter case, and nothing, which links said to
// work have as well. XT means Yunzhijia and wants entryrole XT.
func (l link) knownOrigin() bool {
	switch {
	case l.originType == "" || strings.EqualFold(l.originType, "SimPas"):
		return true
	case l.originType == originYunzhijia:
		return l.role == originYunzhijia
	default:
		return false
	}
}

const originYunzhijia = "XT"

// permitCount takes the count out of otherargs: |{'permitcount':'0'}, with or
// without a space after the colon. Other spellings of it make the server fail;
// otherargs without the word are a plug-in's own (K83, K86).
func permitCount(otherArgs string) (count string, present bool, err error) {
	if !strings.Contains(otherArgs, "permitcount") {
		return "", false, nil
	}
	bad := fmt.Errorf("%w: permitcount is not written |{'permitcount':'0'}", errLink)
	_, rest, found := strings.Cut(otherArgs, "|{")
	if !found {
		return "", false, bad
	}
	rest, found = strings.CutPrefix(strings.TrimSpace(rest), "'permitcount'")
	if !found {
		return "", false, bad
	}
	rest, found = strings.CutPrefix(strings.TrimSpace(rest), ":")
	if !found {
		return "", false, bad
	}
	switch rest = strings.TrimSpace(rest); {
	case strings.HasPrefix(rest, "'0'"):
		count = "0"
	case strings.HasPrefix(rest, "'1'"):
		count = "1"
	default:
		return "", false, bad
	}
	if strings.TrimSpace(rest[3:]) != "}" {
		return "", false, bad
	}
	return count, true, nil
}

// parseMobile reads the plain parameters of the third-party mobile page. Its one
// source knows SHA1 only (reference 1.5).
func parseMobile(q url.Values) (link, error) {
	l := link{
		hash:     hashSHA1,
		centreID: q.Get("acctid"), user: q.Get("username"), appID: q.Get("appid"), sign: q.Get("sign"),
		timestamp: q.Get("timestamp"), lcid: q.Get("lcid"),
		place: place{formID: q.Get("formid"), formType: q.Get("formtype"), single: true},
	}
	return l.checked()
}
