package kingdee

import (
	"strconv"
	"time"

	"kdgate/internal/peer"
	"kdgate/internal/strictjson"
)

const (
	authService  = "Kingdee.BOS.WebApi.ServicesStub.AuthService."
	formService  = "Kingdee.BOS.WebApi.ServicesStub.DynamicFormService."
	userService  = "Kingdee.BOS.ServiceFacade.ServicesStub.User.UserService."
	serviceTail  = ".common.kdsvc"
	jsonType     = "application/json; charset=utf-8"
	formType     = "application/x-www-form-urlencoded"
	sessionField = "kdservice-sessionid"
)

// loginCall is the login request of the configured scheme, dated at.
func (c *Client) loginCall(at time.Time) operation {
	cfg := c.cfg
	lcid := strconv.Itoa(cfg.LCID)
	method, parameters := "LoginByAppSecret", []string{cfg.DBID, cfg.IntegrationUser, cfg.AppID, cfg.AppSecret.Reveal(), lcid}
	if cfg.API.Auth == AuthLoginBySign {
		timestamp := strconv.FormatInt(at.Unix(), 10)
		signed := sign(cfg.API.Hash, cfg.AppSecret, cfg.DBID, cfg.IntegrationUser, cfg.AppID, timestamp)
		method, parameters = "LoginBySign", []string{cfg.DBID, cfg.IntegrationUser, cfg.AppID, timestamp, signed, lcid}
	}
	return operation{
		name: "login", where: "login", path: authService + method + serviceTail,
		contentType: jsonType, body: loginBody(cfg.API.LoginBody, parameters),
	}
}

// loginReply is the part of the flat reply that is read (reference 2.3).
// Cookies and IsSuccessByAPI prove nothing; LoginResultType 1 does (2.7).
type loginReply struct {
	LoginResultType *scalar
	Message         scalar
	MessageCode     scalar
	KDSVCSessionId  scalar //nolint:revive // the vendor's spelling
}

// loginResults reads LoginResultType (the manual's table, rows 14–16).
var loginResults = map[scalar]symptom{
	"1": fine, "0": loginRefused, "-1": loginRefused, "-2": loginRefused, "-3": loginRefused,
	"-4": loginRefused, "-5": loginMinus5, "-6": loginRefused, "-7": loginRefused,
}

// readLogin gives the session id of a successful login.
func readLogin(res peer.Response, acceptMinus5 bool) (string, verdict) {
	body, v := triage(res, false)
	if v.symptom != fine {
		return "", v
	}
	var reply loginReply
	if err := strictjson.Decode(body, &reply); err != nil {
		return "", shapeless(body)
	}
	if reply.LoginResultType == nil {
		return "", errorIn(body)
	}
	result, known := loginResults[*reply.LoginResultType]
	if !known {
		return "", verdict{unexpected, "LoginResultType is none of 1 to −7"}
	}
	if result == fine || (result == loginMinus5 && acceptMinus5) {
		if !cleanToken(string(reply.KDSVCSessionId)) {
			return "", verdict{unexpected, "login succeeded without a session id"}
		}
		return string(reply.KDSVCSessionId), verdict{}
	}
	text := "LoginResultType " + string(*reply.LoginResultType)
	if reply.MessageCode != "" {
		text += ", MessageCode " + string(reply.MessageCode)
	}
	if reply.Message != "" {
		text += ", " + string(reply.Message)
	}
	if told, ok := knownText(string(reply.Message)); ok { // lock-out and white list come as texts only
		result = told
	}
	return "", verdict{result, text}
}
