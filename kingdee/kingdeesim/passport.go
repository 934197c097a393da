package kingdeesim

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// refusal is why Kingdee says no. The reason is a word for tests, the text is
// what the vendor's log would hold. A browser never sees either.
type refusal struct {
	reason string
	text   string
}

func (r *refusal) Error() string { return r.reason + ": " + r.text }

// Texts the vendor is known to use (reference 7.3).
const (
	textLostSession = "会话信息已丢失，请重新登录"
	textNoPassport  = "Fail to VerifyThirtyPassport:The passport is not exists or disabled"
	textBadSign     = "Fail to VerifyThirtyPassport:Fail to verify X-KD-Signature（from passport）"
	textBadCentre   = "Fail to verify thirty passport"
	textBadTime     = "Fail to RestoreSessionByApi:时间戳验证失败，请求链接已失效，请重试！"
	textN001        = "ByRspRetStatusCode -- N001: Unexpectable request."
	textGateway     = "The request is not from API GateWay"
	textTooOften    = "登录失败次数超限，用户已被锁定，请30分钟后再试！"
)

func noSuchUser(name string) string {
	return "Fail to RestoreSessionByApi:用户：" + name + "不存在，请采用其他认证方式登录或者联系管理员！"
}

// claim is what a link, a login or a logout says of itself.
type claim struct {
	centreID, user, appID string
	sign, secret          string // one of the two proves the claim
	timestamp             string
	signed                []string // further signed values: permitcount, loginAgain
	anyUser               bool     // logout: an unknown or forbidden user is no error (K96)
	hash                  string   // the page's own digest; "" is the tenant's (K84)
	noTime                bool     // no timestamp goes with it (application secret, signed headers)
	verify                func(Row, User) bool
	address               string
}

// pass is a claim that was found good.
type pass struct {
	centre *centre
	row    Row
	user   User
}

// admit judges a claim against the row and the user, in the order of doc.go.
func (s *Server) admit(c claim) (pass, *refusal) {
	dc, row, no := s.admitRow(c)
	if no != nil {
		return pass{}, no
	}
	user, known := dc.user(c.user, s.Switches().NamesIgnoreCase)
	if !known && !c.anyUser {
		return pass{centre: dc}, &refusal{"user-unknown", noSuchUser(c.user)}
	}
	if !s.proven(c, dc, row, user) {
		return pass{centre: dc, user: user}, &refusal{"signature", textBadSign}
	}
	if !c.noTime && !withinWindow(c.timestamp, row, s.now()) {
		return pass{centre: dc, user: user}, &refusal{"time-window", textBadTime}
	}
	if no := admitUser(c, dc, row, user); no != nil {
		return pass{centre: dc, user: user}, no
	}
	return pass{centre: dc, row: row, user: user}, nil
}

func (s *Server) admitRow(c claim) (*centre, Row, *refusal) {
	dc, ok := s.centre(c.centreID)
	if !ok {
		return nil, Row{}, &refusal{"data-centre-unknown", textBadCentre}
	}
	row, ok := dc.row(c.appID)
	switch {
	case !ok:
		return dc, row, &refusal{"row-missing", textNoPassport}
	case row.Disabled:
		return dc, row, &refusal{"row-disabled", textNoPassport}
	case row.window() == 0:
		return dc, row, &refusal{"validity-zero", textBadTime}
	case len(row.WhiteList) > 0 && !slices.Contains(row.WhiteList, c.address):
		return dc, row, &refusal{"address", fmt.Sprintf("当前IP:%s 白名单失败", c.address)}
	}
	return dc, row, nil
}

// proven checks the signature, or the plain secret, that a claim carries.
func (s *Server) proven(c claim, dc *centre, row Row, user User) bool {
	switch {
	case c.verify != nil:
		return c.verify(row, user)
	case c.secret != "":
		return same(c.secret, row.Secret)
	}
	values := append([]string{c.centreID, c.user, c.appID, row.Secret, c.timestamp}, c.signed...)
	tenant, _, _ := dc.settings()
	hash := orElse(c.hash, tenant)
	hashes := []string{hash}
	if hash == hashSHA256 && s.Switches().NewerTakesSHA1 {
		hashes = append(hashes, hashSHA1)
	}
	given := c.sign
	if s.Switches().AcceptUpperHex {
		given = asciiLower(given)
	}
	for _, h := range hashes {
		if same(given, passportDigest(h, values...)) {
			return true
		}
	}
	return false
}

func admitUser(c claim, dc *centre, row Row, user User) *refusal {
	if c.anyUser {
		return nil
	}
	switch {
	case row.ListedOnly && !slices.Contains(row.Users, user.Name):
		return &refusal{"user-not-listed", "用户：" + user.Name + " 不在第三方系统登录授权的指定用户中"}
	case row.ListedOnly && row.IntegrationUser != "" && !slices.Contains(row.Users, row.IntegrationUser):
		return &refusal{"integration-user-not-listed", "集成用户：" + row.IntegrationUser + " 不在指定用户中"}
	}
	return admitState(dc, user)
}

// admitState judges the user record itself; passwords need no row.
func admitState(dc *centre, user User) *refusal {
	switch {
	case user.ForbidStatus == Forbidden:
		return &refusal{"user-forbidden", "用户：" + user.Name + " 已被禁用"}
	case dc.isLocked(user):
		return &refusal{"user-locked", "用户：" + user.Name + " 已被锁定"}
	case user.NoLicence:
		return &refusal{"user-no-licence", noSuchUser(user.Name) + "（未分配许可分组）"}
	}
	return nil
}

// withinWindow reads a timestamp of Unix seconds. Milliseconds lie far outside.
func withinWindow(timestamp string, row Row, now time.Time) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return false
	}
	age := now.Sub(time.Unix(seconds, 0))
	return age <= row.window() && -age <= row.skew()
}

func asciiLower(s string) string {
	out := []byte(s)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return string(out)
}

// address is the caller's address without the port.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
