package mapping

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/identity"
)

// Key names a row: one DingTalk person in one data centre. It compares as exact
// bytes and is used as a map key as it is (T24).
type Key struct {
	DataCentre string `json:"data_centre"` // id of the data centre in our configuration
	Corp       string `json:"corp"`        // corpId of the organisation
	UserID     string `json:"userid"`      // DingTalk userid
}

// Subject is the DingTalk half of the key.
func (k Key) Subject() identity.Subject { return identity.Subject{Corp: k.Corp, UserID: k.UserID} }

func (k Key) String() string { return fmt.Sprintf("%s/%s/%s", k.DataCentre, k.Corp, k.UserID) }

// KeyOf is the key of a subject in a data centre.
func KeyOf(s identity.Subject, dataCentre string) Key {
	return Key{DataCentre: dataCentre, Corp: s.Corp, UserID: s.UserID}
}

// Owner says who keeps a row.
type Owner string

// The owners of a row.
const (
	OwnerAuto   Owner = "auto"   // derived by us, follows Kingdee
	OwnerManual Owner = "manual" // kept by a person; no automatic run touches it
	OwnerLocked Owner = "locked" // kept by a person; an import does not touch it either
)

func (o Owner) known() bool { return o == OwnerAuto || o == OwnerManual || o == OwnerLocked }

// Status says whether a row is in force.
type Status string

// The states of a row.
const (
	StatusActive    Status = "active"
	StatusSuspended Status = "suspended" // holds nobody's door open until an explicit Reinstate (T23)
	StatusPending   Status = "pending"   // privileged, waiting for approvals (F10)
	StatusRemoved   Status = "removed"   // undone creation: kept for its history, read as absent
)

// Stamp is who did something, and when.
type Stamp struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// Check is what the last look at Kingdee found for a row. It is refreshed
// without a new version of the row, so that it never disturbs an editor.
type Check struct {
	At        time.Time      `json:"at,omitzero"`        // zero: never looked
	Code      identity.Code  `json:"code,omitempty"`     // empty: all links held
	Staff     State          `json:"staff,omitempty"`    // link 2
	User      State          `json:"user,omitempty"`     // link 3
	StaffNo   string         `json:"staff_no,omitempty"` // the staff number looked up, also when the row names none
	LoginUser string         `json:"login,omitempty"`    // the login user found
	KingdeeID string         `json:"user_id,omitempty"`  // its internal id
	Foreign   bool           `json:"foreign,omitempty"`  // the login user is not one of the staff record's person (T18)
	RenamedTo string         `json:"renamed,omitempty"`  // the internal id now carries this name
	ForRow    uint64         `json:"for_row,omitempty"`  // version of the row that was looked at
	Unknown   jsontext.Value `json:",embed"`             // members of a newer release, kept (R54)
}

// Entry is one row of the table, as stored and as shown.
type Entry struct {
	Corp        string         `json:"corp"`
	UserID      string         `json:"userid"`
	DataCentre  string         `json:"data_centre"`
	Name        string         `json:"name,omitempty"`            // as DingTalk showed it at a sign-in; for people's eyes, never a key
	UnionID     string         `json:"unionid,omitempty"`         // whose hire the row was made for; empty: bound at first sign-in (T19)
	StaffNumber string         `json:"staff_number,omitempty"`    // FStaffNumber
	LoginUser   string         `json:"login_user,omitempty"`      // 用户名称, SEC_User.FName, byte for byte
	KingdeeID   string         `json:"kingdee_user_id,omitempty"` // SEC_User.FUserID, once known
	Owner       Owner          `json:"owner"`
	Status      Status         `json:"status"`
	Shared      bool           `json:"shared,omitempty"`     // may share its login user with other rows (T17)
	Privileged  bool           `json:"privileged,omitempty"` // needs two approvals (F10, T18)
	Approvals   []Stamp        `json:"approvals,omitempty"`  // by distinct administrators, of exactly this identity and account
	Check       Check          `json:"check,omitzero"`
	Version     uint64         `json:"version"` // of the row, from 1; what an editor must name (T26)
	Created     Stamp          `json:"created"`
	Changed     Stamp          `json:"changed"`
	Action      audit.Action   `json:"action"`           // what made this version
	Reason      string         `json:"reason,omitempty"` // why, when the action asks for one
	Run         string         `json:"run,omitempty"`    // import run that made this version
	Author      string         `json:"author,omitempty"` // who last chose identity or account, and so may not approve them
	Note        string         `json:"note,omitempty"`
	Unknown     jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Key is the key of the row.
func (e Entry) Key() Key { return Key{DataCentre: e.DataCentre, Corp: e.Corp, UserID: e.UserID} }

// Account is the Kingdee side of the row, as far as it is known.
func (e Entry) Account() identity.Account {
	return identity.Account{DataCentre: e.DataCentre, StaffNumber: e.StaffNumber, LoginUser: e.LoginUser}
}

// Approved reports whether two administrators approved the row as it stands.
func (e Entry) Approved() bool { return len(e.Approvals) >= ApprovalsNeeded }

// holds reports whether the row occupies its account and staff number.
func (e Entry) holds() bool { return e.Status != StatusRemoved && e.Status != "" }

// ApprovalsNeeded is how many administrators must approve a privileged row (F10).
const ApprovalsNeeded = 2

// encode writes a stored value. Members of a newer release come out again (R54).
func encode(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("mapping: encode: %w", err)
	}
	return data, nil
}

// decode reads a stored value; names match case-exactly and twins are refused.
func decode(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("mapping: decode: %w", err)
	}
	return nil
}
