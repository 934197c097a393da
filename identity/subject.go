package identity

import "time"

// Subject is a person as DingTalk names them: a userid within one organisation.
// Both halves compare as exact bytes; neither is ever folded or trimmed.
type Subject struct {
	Corp   string // corpId of the organisation, for example dingcorp1
	UserID string // userid (staffId), unique within the organisation, 1–64 characters
}

// IsZero reports whether nobody is named.
func (s Subject) IsZero() bool { return s == Subject{} }

// Profile is what DingTalk's address book says about a subject.
// An empty field means "not told", never "deleted": withdrawn permissions make
// fields vanish (reference: topapi/v2/user/get).
type Profile struct {
	Subject
	UnionID   string
	Name      string
	JobNumber string
	Mobile    string
	Title     string
	Extension map[string]string // decoded from the JSON text in the field extension
	HiredAt   time.Time         // zero when not filled in
	Active    bool              // has activated DingTalk; false does not mean "left"
}

// Account is a person on the Kingdee side, in one data centre.
type Account struct {
	DataCentre  string // id of the data centre in our configuration
	StaffNumber string // FStaffNumber of the staff record (BD_Empinfo)
	LoginUser   string // 用户名称, SEC_User.FName, byte for byte as Kingdee spells it
}

// Door is the way a person came in.
type Door string

// The doors of the gateway.
const (
	DoorInClient   Door = "in-client"  // DingTalk webview, requestAuthCode
	DoorBrowser    Door = "browser"    // DingTalk OAuth 2.0
	DoorHandover   Door = "handover"   // PC client to system browser, one-time ticket
	DoorSAML       Door = "saml"       // administrators
	DoorBreakGlass Door = "breakglass" // local emergency account
)

// Assertion is what an identity provider has proven about a person, once.
type Assertion struct {
	Subject Subject
	UnionID string
	Name    string // display name, for people's eyes only, never a key
	Door    Door
	At      time.Time
}

// Principal is the person behind a live session.
type Principal struct {
	Assertion
	SessionID string    // public handle of the session (not the cookie value), safe to log
	ExpiresAt time.Time // the absolute end; idle time may end it sooner
}
