package kingdeesim

import (
	"crypto/cipher"
	"crypto/des" //nolint:gosec // the vendor's obfuscation
	"encoding/base64"
	"net/http"
	"strings"
)

// LoginResultType values of the vendor's manual.
const (
	loginGood          = 1
	loginWrong         = 0
	loginFailed        = -1
	loginChangeMust    = -3
	loginForm          = -5
	codeSignMismatch   = "002005000003016"
	codePasswordPolicy = "CheckPasswordPolicy"
)

// loginMethods are the login methods of AuthService, lower case (K16–K27). The
// ones ending in 2 take one more argument.
func (s *Server) loginMethods() map[string]method {
	return map[string]method{
		"loginbysign":             s.login("loginbysign", bySign),
		"loginbysign2":            s.login("loginbysign2", bySign),
		"loginbyappsecret":        s.login("loginbyappsecret", byAppSecret),
		"loginbyappsecret2":       s.login("loginbyappsecret2", byAppSecret2),
		"validateuser":            s.login("validateuser", byPassword),
		"validateuser2":           s.login("validateuser2", byPassword2),
		"validateuserbyorgnumber": s.login("validateuserbyorgnumber", byPassword),
		"validateuserendecode":    s.login("validateuserendecode", byHiddenPassword),
	}
}

// credentials are what a login call says.
type credentials struct {
	claim
	password   string
	byPassword bool
	kickOff    bool
	malformed  bool
	language   string
}

func bySign(a arguments) credentials {
	return credentials{claim: claim{
		centreID: a.text(0, "acctID"), user: a.text(1, "username"), appID: a.text(2, "appId"),
		timestamp: a.text(3, "timestamp"), sign: a.text(4, "sign"),
	}, language: a.text(5, "lcid")}
}

func byAppSecret(a arguments) credentials {
	return credentials{claim: claim{
		centreID: a.text(0, "acctID"), user: a.text(1, "username"), appID: a.text(2, "appId"),
		secret: orElse(a.text(3, "appSecret"), " "), noTime: true,
	}, language: a.text(4, "lcid")}
}

func byAppSecret2(a arguments) credentials {
	c := byAppSecret(a)
	c.kickOff = isTrue(a.text(4, "isKickOff"))
	c.language = a.text(5, "lcid")
	return c
}

func byPassword(a arguments) credentials {
	return credentials{
		claim:    claim{centreID: a.text(0, "acctID"), user: a.text(1, "username")},
		password: a.text(2, "password"), byPassword: true, language: a.text(3, "lcid"),
	}
}

func byPassword2(a arguments) credentials {
	c := byPassword(a)
	c.kickOff = isTrue(a.text(3, "isKickOff"))
	c.language = a.text(4, "lcid")
	return c
}

// byHiddenPassword is ValidateUserEnDeCode: user and password went through DES (K27).
func byHiddenPassword(a arguments) credentials {
	c := byPassword(a)
	user, userOK := desOpen(c.user)
	password, passwordOK := desOpen(c.password)
	c.user, c.password = user, password
	c.malformed = !userOK || !passwordOK
	return c
}

func isTrue(text string) bool { return strings.EqualFold(text, "true") || text == "1" }

// desKey is both key and initial vector of the vendor's obfuscation.
const desKey = "KingdeeK"

// desOpen undoes DES-CBC with PKCS7 padding, Base64 outside.
func desOpen(text string) (string, bool) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 || len(raw)%des.BlockSize != 0 {
		return "", false
	}
	block, err := des.NewCipher([]byte(desKey)) //nolint:gosec // see the import
	if err != nil {
		return "", false
	}
	cipher.NewCBCDecrypter(block, []byte(desKey)).CryptBlocks(raw, raw)
	pad := int(raw[len(raw)-1])
	if pad < 1 || pad > des.BlockSize {
		return "", false
	}
	for _, b := range raw[len(raw)-pad:] {
		if int(b) != pad {
			return "", false
		}
	}
	return string(raw[:len(raw)-pad]), true
}

// login answers one login method.
func (s *Server) login(name string, read func(arguments) credentials) method {
	return func(w http.ResponseWriter, r *request, args arguments) {
		c := read(args)
		c.address = address(r.Request)
		r.user = c.user
		s.counters.login(s.now())
		p, no := s.judge(name, c)
		s.note("login", no, c.claim)
		if no != nil {
			s.writeJSON(w, s.refusedLogin(no))
			return
		}
		s.welcome(w, name, c, p)
	}
}

// judge finds out whether the credentials are good, and counts the failures.
func (s *Server) judge(name string, c credentials) (pass, *refusal) {
	dc, known := s.centre(c.centreID)
	if !known {
		return pass{}, &refusal{"data-centre-unknown", textBadCentre}
	}
	if dc.lockouts.locked(c.user, s.now()) {
		return pass{}, &refusal{"locked-out", textTooOften}
	}
	var p pass
	var no *refusal
	switch {
	case c.byPassword:
		p, no = s.judgePassword(name, dc, c)
	default:
		p, no = s.admit(c.claim)
		if no == nil && p.row.IntegrationUser == "" {
			no = &refusal{"no-integration-user", textNoPassport}
		}
	}
	if no == nil {
		dc.lockouts.forget(c.user)
		return p, nil
	}
	if no.reason == "signature" || no.reason == "password" {
		dc.lockouts.failed(c.user, s.now())
		if dc.lockouts.locked(c.user, s.now()) {
			no = &refusal{"locked-out", textTooOften}
		}
	}
	return p, no
}

func (s *Server) judgePassword(name string, dc *centre, c credentials) (pass, *refusal) {
	if s.Switches().PublicCloudLate {
		return pass{}, &refusal{"method-refused", name + " 已停用，请使用第三方系统登录授权"}
	}
	user, ok := dc.user(c.user, s.Switches().NamesIgnoreCase)
	if !ok || c.malformed || user.Password == "" || !same(c.password, user.Password) {
		return pass{}, &refusal{"password", "用户名或密码错误"}
	}
	if no := admitState(dc, user); no != nil {
		return pass{}, no
	}
	return pass{centre: dc, user: user}, nil
}

// welcome opens the session of a good login, or answers the LoginResultType
// that the user is set to.
func (s *Server) welcome(w http.ResponseWriter, name string, c credentials, p pass) {
	result := s.resultFor(p.user)
	if result != loginGood && result != loginForm && !p.user.PasswordExpired {
		s.writeJSON(w, loginReply{Message: "登录失败", LoginResultType: result, CustomParam: empty{}})
		return
	}
	if s.Switches().KickOff && (c.kickOff || name == "validateuser") {
		s.sessions.closeWhere(func(o *session) bool {
			return o.centre == p.centre && o.userID == p.user.ID && o.kind != byLink
		})
	}
	current := s.sessions.open(p.centre, p.user, byLogin, name, s.now())
	s.counters.opened(current, s.cfg.IdleLimit)
	s.setSessionCookies(w, current)
	if p.user.PasswordExpired {
		s.writeJSON(w, loginReply{Message: "密码已过期", MessageCode: codePasswordPolicy, LoginResultType: result, CustomParam: empty{}})
		return
	}
	s.writeJSON(w, s.goodLogin(current, p, result, c.language))
}

// resultFor is the LoginResultType of a user whose credentials are good.
func (s *Server) resultFor(u User) int {
	switch {
	case u.LoginResult != nil:
		return *u.LoginResult
	case u.PasswordExpired:
		return loginChangeMust
	case u.Administrator && s.Switches().AdminMinusFive:
		return loginForm
	default:
		return loginGood
	}
}

// logout ends the session it is called with (K33).
func (s *Server) logout(w http.ResponseWriter, r *request, _ arguments) {
	ended := false
	for _, id := range sessionIDs(r.Request) {
		ended = s.sessions.close(id, s.now()) || ended
	}
	s.writeJSON(w, ended)
}
