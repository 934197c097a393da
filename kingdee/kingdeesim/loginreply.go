package kingdeesim

import "strconv"

// loginReply is the flat answer of every login method (K20), with the members
// of a public reply of 9.0.553.10, in its order.
type loginReply struct {
	Message           any
	MessageCode       any
	LoginResultType   int
	Context           *loginContext
	KDSVCSessionId    any //nolint:revive // the vendor's spelling, as below
	FormId            any
	RedirectFormParam any
	FormInputObject   any
	ErrorStackTrace   any
	Lcid              int
	AccessToken       any
	CustomParam       empty
	KdAccessResult    any
	IsSuccessByAPI    bool
}

type empty struct{}

//nolint:revive // the vendor's spelling
type loginContext struct {
	UserLocale              string
	LogLocale               string
	DBid                    string
	DatabaseType            int
	SessionId               string
	UseLanguages            []useLanguage
	UserId                  int64
	UserName                string
	CustomName              string
	DisplayVersion          string
	DataCenterName          string
	UserToken               string
	CurrentOrganizationInfo organizationInfo
	IsCH_ZH_AutoTrans       bool
	ClientType              int
	UTimeZone               timeZone
	STimeZone               timeZone
	GDCID                   string
	Gsid                    any
	TRLevel                 int
	ProductEdition          int
	DataCenterNumber        string
	ContextResultType       int
	TenantId                string
	IsDeployAsPublicCloud   bool
}

//nolint:revive // the vendor's spelling
type useLanguage struct {
	LocaleId    int
	LocaleName  string
	Alias       string
	LicenseType int
}

//nolint:revive // the vendor's spelling
type organizationInfo struct {
	ID          int64
	AcctOrgType string
	Name        string
	FunctionIds []int
}

//nolint:revive // the vendor's spelling
type timeZone struct {
	OffsetTicks  int64
	StandardName string
	Id           int
	Number       string
	CanBeUsed    bool
}

const webAPIClient = 32

// locales are the languages a data centre may be used in.
func locale(lcid string) string {
	switch lcid {
	case "1033":
		return "en-US"
	case "3076":
		return "zh-TW"
	default:
		return "zh-CN"
	}
}

// goodLogin fills in the whole reply.
func (s *Server) goodLogin(current *session, p pass, result int, lcid string) loginReply {
	_, version, org := p.centre.settings()
	beijing := timeZone{288000000000, "(UTC+08:00)北京，重庆，香港特别行政区，乌鲁木齐", 230, "1078_SYS", true}
	language, _ := strconv.Atoi(orElse(lcid, "2052"))
	reply := loginReply{
		LoginResultType: result,
		Context: &loginContext{
			UserLocale: locale(lcid), LogLocale: "zh-CN", DBid: p.centre.id, DatabaseType: 3, SessionId: current.aspID,
			UseLanguages: []useLanguage{{2052, "中文(简体)", "CN", 0}, {1033, "English", "EN", 0}},
			UserId:       p.user.ID, UserName: p.user.Name, CustomName: p.centre.name, DisplayVersion: version,
			DataCenterName: p.centre.name, UserToken: current.userToken,
			CurrentOrganizationInfo: organizationInfo{org.ID, "1", org.Name, []int{101, 102, 103, 104, 107, 108, 109, 110, 111, 112, 113, 114}},
			ClientType:              webAPIClient,
			UTimeZone:               beijing, STimeZone: beijing, GDCID: current.userToken, DataCenterNumber: p.centre.number, TenantId: p.centre.id + "0000",
		},
		KDSVCSessionId: current.id, Lcid: language, IsSuccessByAPI: true,
	}
	if p.user.PolicyHint || s.Switches().PolicyHint {
		reply.MessageCode = codePasswordPolicy
	}
	if result == loginForm {
		reply.FormId, reply.Message = "BOS_DEALFORM", "需要处理表单"
	}
	return reply
}

// refusedLogin is what a caller sees; the true reason stands in the log view
// only, except where the vendor is known to say it.
func (s *Server) refusedLogin(no *refusal) loginReply {
	reply := loginReply{Message: textLostSession, LoginResultType: loginFailed}
	switch no.reason {
	case "signature":
		reply.Message, reply.MessageCode, reply.LoginResultType = "第三方系统登录授权签名验证失败", codeSignMismatch, loginWrong
	case "password":
		reply.Message, reply.LoginResultType = no.text, loginWrong
	case "user-unknown":
		reply.Message, reply.LoginResultType = noSuchUserShort, loginWrong
	case "address", "locked-out", "method-refused", "user-forbidden", "user-locked", "user-not-listed", "integration-user-not-listed":
		reply.Message = no.text
	}
	return reply
}

const noSuchUserShort = "用户不存在，请采用其他认证方式登录或者联系管理员！"
