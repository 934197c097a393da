package identity

// Code is the short code a person reads out to the helpdesk. The catalogue of
// words (zh-Hans, zh-Hant, English) is in web; a test there holds it complete.
type Code string

// KD-1xx: the sign-in did not prove who is there.
const (
	CodeSignInExpired   Code = "KD-101" // state unknown, used, too old, or of another browser: start again
	CodeAuthCodeRefused Code = "KD-102" // DingTalk does not know the code: used, expired, foreign
	CodeForeignCorp     Code = "KD-103" // proven, but for another organisation
	CodeSignInDeclined  Code = "KD-104" // the person refused or cancelled at DingTalk
	CodeNotInScope      Code = "KD-105" // outside the app's visible range (40079)
	CodeNotEmployee     Code = "KD-106" // external contact or stranger
	CodeBadAuthCode     Code = "KD-107" // malformed code, never sent upstream
	CodeDingTalkDown    Code = "KD-111" // DingTalk cannot be reached
	CodeDingTalkBusy    Code = "KD-112" // DingTalk throttles or has banned our address
	CodeDingTalkSetup   Code = "KD-113" // secret, permission or address list: an administrator must act
	CodeTooManyTries    Code = "KD-121" // our own limiter
)

// KD-2xx: a link of the chain userid → FStaffNumber → login user is broken.
const (
	CodeNotMapped       Code = "KD-201" // no mapping, and none can be derived
	CodeNoStaff         Code = "KD-202" // Kingdee has no such staff record
	CodeNoLoginUser     Code = "KD-203" // staff record without login user
	CodeUserForbidden   Code = "KD-204" // login user forbidden or locked
	CodeManyUsers       Code = "KD-205" // several login users on one person
	CodeSuspended       Code = "KD-206" // the mapping is suspended (left, or by an administrator)
	CodePrivilegedUser  Code = "KD-207" // privileged login user without two approvals
	CodeManyStaff       Code = "KD-208" // several staff records carry the number
	CodeStaffForbidden  Code = "KD-209" // staff record forbidden or not approved
	CodeIdentityChanged Code = "KD-210" // the userid now belongs to somebody else; re-approval needed
)

// KD-3xx: the place asked for.
const (
	CodeUnknownTarget Code = "KD-301" // no such target, form or document type on the server-side list
	CodeNotFound      Code = "KD-304" // no such page
	CodeBadRequest    Code = "KD-300" // a request that no page of ours makes
)

// KD-4xx: Kingdee.
const (
	CodeKingdeeDown  Code = "KD-401" // Kingdee cannot be reached, so the chain cannot be confirmed
	CodeKingdeeSetup Code = "KD-402" // authorisation row, rights or fields: an administrator must act
	CodeLinkRefused  Code = "KD-403" // Kingdee did not let the gateway in with a fresh link (proxy mode)
	CodeNoKingdee    Code = "KD-404" // no Kingdee session of this person's own: never opened, ended, or somebody else's (proxy mode)
	CodeKingdeeBusy  Code = "KD-411" // more people than Kingdee may be asked about at once: wait, the page comes again
	CodeClosedPath   Code = "KD-405" // a place in Kingdee that is not open through the gateway (proxy mode)
)

// KD-6xx: the console.
const (
	CodeNoConsole      Code = "KD-601" // a person, but not one of the console's administrators, or not for this page
	CodeConsoleSignIn  Code = "KD-602" // nobody is in the console: not entered, or the session ended
	CodeProveAgain     Code = "KD-603" // a dangerous act needs a proof that is minutes old
	CodeFourEyes       Code = "KD-604" // another administrator has to agree
	CodeChangedBetween Code = "KD-605" // somebody changed it after the page was made
	CodeRefusedInput   Code = "KD-606" // a value that a rule does not allow
	CodeWrongPassword  Code = "KD-607" // the emergency account: name or password
)

// KD-5xx: kdgate itself.
const (
	CodeInternal  Code = "KD-500" // a fault of ours
	CodeStoreDown Code = "KD-501" // our store cannot be asked
	CodeAuditDown Code = "KD-502" // the audit log cannot be written, so nothing is done
)
