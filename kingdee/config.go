package kingdee

import (
	"log/slog"
	"time"

	"kdgate/identity"
	"kdgate/internal/peer"
)

// Config is one data centre: where it is, who we are there, and every vendor
// fact that reference 9 calls open. New fills the defaults named here and reports
// all mistakes at once; a change of configuration is a new Client.
type Config struct {
	ID      string // id of the data centre in our configuration, for logs and accounts
	BaseURL string // http(s)://HOST/K3Cloud/, with or without the last slash

	// AllowPlainHTTP permits http:// to a host that is not this machine (T121).
	AllowPlainHTTP bool

	DBID            string          // data-centre id (acctID): 14 hex characters or digits
	AppID           string          // 应用ID of the authorisation row; may hold + and /
	AppSecret       identity.Secret // 应用密钥
	IntegrationUser string          // 集成用户: user name (FName) for the Web API
	LCID            int             // 2052 (default), 1033 or 3076

	Link  LinkConfig
	Users UsersConfig
	API   APIConfig
	Forms FormsConfig

	// NoLogoutNotice leaves Kingdee sessions alone on sign-out: SignOut then
	// answers ErrNoLogoutNotice, so that the page can say so (F9).
	NoLogoutNotice bool

	// Claim and Lane, where replicas share a store, keep the links of all of them
	// apart: see LaneFunc. Nil: this process is the only one that mints.
	Claim ClaimFunc
	Lane  LaneFunc

	// Since is when this client came, where it mints alone: what one before it minted
	// it does not know, so its links are of later seconds. Zero: there was none.
	Since time.Time

	Peer   *peer.Client     // outbound door; default peer.New with its defaults
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // alerts for the operator; default slog.Default

	// Observer hears of every exchange with Kingdee, for metrics: operation is
	// login, query, view, logout, or the lower-case name of a write; result is ok or the name of a fault. May be nil.
	Observer func(operation, result string, took time.Duration)
}

// LinkConfig says how sign-on links are written (reference 1).
type LinkConfig struct {
	Version     int    // 1–4, default 4
	Hash        Hash   // default SHA256 for version 4, SHA1 below
	Permitcount string // "1" one login (default), "0" reusable, "none" not in the link; versions 1 and 2 cannot carry it
	Characters  string // of the payload: "ascii" (default; V1 sends UTF-8), "utf-8" or "gbk"
	UDEncoding  string // value of the parameter udencoding: default "utf-8"; "none" leaves it out

	Entry     Entry  // when a Place names none; default EntryHTML5
	HTML5Page string // default html5/index.aspx
	LightPage string // default html5/lightstartapp.aspx

	// Mobile switches the third-party mobile page on. It has one public source,
	// knows SHA1 only, and its links carry no permitcount: they work again and
	// again until Kingdee's window ends.
	Mobile     bool
	MobilePage string // default mobile/k3cloudForPhone.html
	MobileHash Hash   // default SHA1

	// Window is how far this machine's clock may be from Kingdee's before links
	// are refused here, default 10 minutes. Half of it raises an alert. Nothing
	// is assumed of Kingdee's own window.
	Window time.Duration

	// Extra are further payload fields, after the vendor's thirteen: loginthen
	// and formargs only, because their meaning is not documented and loginAgain
	// would have to be signed.
	Extra []ExtraField
}

// ExtraField is a payload field that an installation asks for. A nil value is
// written as null.
type ExtraField struct {
	Name  string
	Value *string
}

// Route is the way from a staff record to its login users (reference 5).
type Route string

// The routes through the Web API.
const (
	RoutePerson   Route = "person"   // R3: post record → person → user; follows the tables exactly
	RouteEmployee Route = "employee" // R1: the employee names its user
	RouteUser     Route = "user"     // R2: the user names the person's number
)

// UsersConfig says where staff and login users are found. Customers extend
// forms, so every form id and field key is a setting.
type UsersConfig struct {
	Route Route // default RoutePerson

	// Listed are the user names on the authorisation row when it lists its users
	// (指定用户登录); empty when it admits all. A link for anybody else is refused
	// here, because Kingdee's refusal page cannot be seen from outside.
	Listed []string

	Staff StaffKeys
	Post  PostKeys
	User  UserKeys
}

// StaffKeys are the keys of the employee form.
type StaffKeys struct {
	Form           string // BD_Empinfo
	ID             string // FID
	Number         string // FStaffNumber
	Name           string // FName
	ForbidStatus   string // FForbidStatus
	DocumentStatus string // FDocumentStatus
	Person         string // key of the person's internal id; empty (default): ask the post form
	UserName       string // FUserId.FName, for RouteEmployee
}

// PostKeys are the keys of the post form, for RoutePerson.
type PostKeys struct {
	Form         string // BD_NEWSTAFF
	ID           string // FSTAFFID
	PersonNumber string // FPerson.FNumber
	Person       string // FPersonId
}

// UserKeys are the keys of the login-user form.
type UserKeys struct {
	Form         string // SEC_User
	ID           string // FUserID
	Name         string // FName
	Account      string // FUserAccount
	ForbidStatus string // FForbidStatus
	Locked       string // FIsLocked
	Link         string // FLinkObject, for RoutePerson
	LinkNumber   string // FLinkObject.FNumber, for RouteUser

	// Forbid and Enable are the operations that take a user out of use and back:
	// Forbid, which one public client calls Disable for this form, and Enable.
	Forbid, Enable string
}

// Auth is how the Web API is told who we are (reference 2.2, 2.5).
type Auth string

// The authentication schemes.
const (
	AuthLoginBySign   Auth = "login_by_sign"  // one signed login, then a session header
	AuthSignedHeaders Auth = "signed_headers" // every call signed; for the shared API gateway
	AuthAppSecret     Auth = "app_secret"     // old servers; sends the secret over the wire
)

// APIConfig says how the Web API is used.
type APIConfig struct {
	Auth           Auth          // default AuthLoginBySign
	Hash           Hash          // of LoginBySign; default as Link.Hash
	PageSize       int           // rows a query page, 1–2000, default 1000
	SessionIdle    time.Duration // log in again after this idle time, default 15 min, below Kingdee's 20
	MaxSessions    int           // default 2; one session serves one call at a time
	MaxConcurrency int           // calls at once, default 2
	MinInterval    time.Duration // between two calls, default none
	AcceptMinus5   bool          // LoginResultType −5 counts as success
	OrgNumber      string        // organisation in signed headers, default "0"

	LoginBody       LoginBody // how a login's parameters are written, default LoginArray
	HeaderTimestamp string    // unit in signed headers: "ms" (default) or "s"
}

// LoginBody is how a login's parameters are written (reference 3.1; appendix A 11).
type LoginBody string

// The forms of a login that real servers take.
const (
	LoginArray LoginBody = "array" // (b): an array
	LoginText  LoginBody = "text"  // (a′): the array as JSON text
	LoginNamed LoginBody = "named" // (c): by names, of LoginBySign only
)
