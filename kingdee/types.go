package kingdee

// Staff is a staff record (员工, form BD_Empinfo). Texts are as Kingdee returned
// them, byte for byte.
type Staff struct {
	ID        string // internal id (FID)
	Number    string // FStaffNumber
	Name      string // the employee's name, for people's eyes only
	PersonID  string // internal id of the natural person (T_BD_PERSON), when the route asks for it
	Forbidden bool   // FForbidStatus B
	Approved  bool   // FDocumentStatus C
}

// User is a login user (用户, form SEC_User).
type User struct {
	ID        string // internal id (FUserID); survives a rename
	Name      string // 用户名称 (FName): the name that a sign-on link carries
	Account   string // 用户账号 (FUserAccount): another thing than the name
	Forbidden bool   // FForbidStatus B
	Locked    bool   // FIsLocked
}

// Place is where a sign-on link lands. The fields are not signed by Kingdee, so
// they only ever come from the server-side list of forms.
type Place struct {
	Entry    Entry
	FormID   string // empty: the main console
	FormType string // bill, list, …; empty for the main console
	PK       string // primary key of the bill; empty with a bill opens a new one
}

// Entry is the client a link opens.
type Entry string

// The entries Kingdee offers (reference 1.5).
const (
	EntryHTML5  Entry = "html5"  // the console in a browser
	EntryLight  Entry = "light"  // one form without the console (lightstartapp, openmode Single)
	EntryWPF    Entry = "wpf"    // the desktop client
	EntryMobile Entry = "mobile" // the mobile page
)
