package kingdeesim

// Switches choose between behaviours that are not certain on real servers. The
// zero value is the one the reference names first.
type Switches struct {
	RedirectToHTTPS     bool   `json:"redirectToHTTPS"`     // K6: plain HTTP answers 301
	ForcedGateway       bool   `json:"forcedGateway"`       // K10: "The request is not from API GateWay"
	EscapeUnicode       bool   `json:"escapeUnicode"`       // K8: Chinese as \u escapes
	AcceptBareArray     bool   `json:"acceptBareArray"`     // K13
	AcceptUpperHex      bool   `json:"acceptUpperHex"`      // K19
	PolicyHint          bool   `json:"policyHint"`          // K20: CheckPasswordPolicy on every good login
	CookieExpires       bool   `json:"cookieExpires"`       // K21: Set-Cookie carries expires with a comma
	AdminMinusFive      bool   `json:"adminMinusFive"`      // K25: administrators get LoginResultType -5
	PublicCloudLate     bool   `json:"publicCloudLate"`     // K26: ValidateUser is refused
	BareQueryError      bool   `json:"bareQueryError"`      // K37: BillQuery answers the bare error object
	KickOff             bool   `json:"kickOff"`             // K41
	SharedGateway       bool   `json:"sharedGateway"`       // K44: X-Api-* is checked too
	CheckHeaderTime     bool   `json:"checkHeaderTime"`     // K49
	LimitMode           string `json:"limitMode"`           // K51: "" refuses above 10000; "cut"; "ceiling2000"
	ChoicesByCode       bool   `json:"choicesByCode"`       // K54: the array form refuses 67 on statuses; public clients send 105 or "=" there
	NoRightsIsError     bool   `json:"noRightsIsError"`     // K57: MsgCode 2 instead of no rows
	PadErrorRow         bool   `json:"padErrorRow"`         // K60
	SlashDates          bool   `json:"slashDates"`          // K61: /Date(ms)/ in View
	NullStatus          bool   `json:"nullStatus"`          // a View that found its record says ResponseStatus null (reference 3.4)
	TextCodes           bool   `json:"textCodes"`           // K62: MsgCode, ErrorCode and IsSuccess as text
	TextIDs             bool   `json:"textIDs"`             // K62: ids as text
	BlankTexts          bool   `json:"blankTexts"`          // empty texts as one space, as public replies hold them
	TextFlags           bool   `json:"textFlags"`           // check boxes as "1" and "0" instead of true and false
	HideFLinkObject     bool   `json:"hideFLinkObject"`     // K78: MsgCode 9 for SEC_User FLinkObject
	HideLinkNumber      bool   `json:"hideLinkNumber"`      // K78: … for SEC_User FLinkObject.FNumber
	HideFUserID         bool   `json:"hideFUserId"`         // K78: … for BD_Empinfo FUserId.FName and FUserId.FUserAccount
	HidePersonNumber    bool   `json:"hidePersonNumber"`    // K78: … for BD_NEWSTAFF FPerson.FNumber
	HideFPersonID       bool   `json:"hideFPersonId"`       // K78: … for BD_NEWSTAFF FPersonId
	ShowEmpinfoPersonID bool   `json:"showEmpinfoPersonId"` // BD_Empinfo can be asked for FPersonId too: public Views show PersonId, no query does
	NewerTakesSHA1      bool   `json:"newerTakesSHA1"`      // K84: an SHA256 tenant also takes SHA1
	MobileByTenant      bool   `json:"mobileByTenant"`      // K79: the mobile page takes the tenant's digest, not SHA1
	GBKByDefault        bool   `json:"gbkByDefault"`        // K82: without udencoding the bytes are GBK
	LinkWinsOverRow     bool   `json:"linkWinsOverRow"`     // K88
	RefusalRedirects    bool   `json:"refusalRedirects"`    // K91: to the login page
	NamesIgnoreCase     bool   `json:"namesIgnoreCase"`     // K92
	LandByScript        bool   `json:"landByScript"`        // K93
	HeadIsHarmless      bool   `json:"headIsHarmless"`      // K97: HEAD does not use a link up
	LandAbsolute        bool   `json:"landAbsolute"`        // K93: the landing redirect is absolute, see OwnOrigin
	OwnOrigin           string `json:"ownOrigin"`           // what the server believes its origin is; "" means what Host says
	ForeignOrigin       string `json:"foreignOrigin"`       // where the redirect to somebody else goes; "" means https://foreign.example
	StrictHeaders       bool   `json:"strictHeaders"`       // K98: every page call must carry accept-encoding_wpf
	StrictHost          bool   `json:"strictHost"`          // K98: Host must name the host of EntryPageUrl
	NoAntiTampering     bool   `json:"noAntiTampering"`     // K99: a server before V9.1, without pvfgsdhsfg
	CompressReplies     bool   `json:"compressReplies"`     // K100: every reply to a page call is compressed, not only when asked for
	RigidBaseData       bool   `json:"rigidBaseData"`       // base data under audit or audited cannot be saved either, only after UnAudit
	VoucherNumbersSent  bool   `json:"voucherNumbersSent"`  // a voucher takes the FNumber that is sent instead of the next of its book, period and group
	AttachmentsHidden   bool   `json:"attachmentsHidden"`   // BOS_Attachment cannot be queried: MsgCode 6, as one source reports
	BatchLimitIsError   bool   `json:"batchLimitIsError"`   // K69: more than 20 bills or BatchCount above 10 is MsgCode 14 instead of slow
	MaxConcurrent       int    `json:"maxConcurrent"`       // operations at once before MsgCode 14; 0 means no limit
	NoWebSocket         bool   `json:"noWebSocket"`         // the reference leaves WebSocket unknown; the simulator offers one
}

// Switches returns the current switches.
func (s *Server) Switches() Switches { return *s.switches.Load() }

// SetSwitches replaces the switches for every call that starts from now on.
func (s *Server) SetSwitches(to Switches) { s.switches.Store(&to) }
