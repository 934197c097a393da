package dingtalksim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Config says what the simulated DingTalk holds and how strict it is.
type Config struct {
	// Corps are the organisations; at least one.
	Corps []Corp
	// QPS is the number of calls per second of one application to one API.
	// 0 means the vendor's 20, a negative number means no limit.
	QPS int
	// AddressLimit is the number of calls from one address within 20 seconds
	// that brings the ban. 0 means the vendor's 10 000, negative: never.
	AddressLimit int
	// MonthQuota is the monthly number of counted calls of one organisation.
	// 0 means the vendor's 5 000, negative: no limit.
	MonthQuota int
	// EventQuota is the monthly number of counted events of one organisation.
	// 0 means the vendor's 3 000, negative: no limit.
	EventQuota int
	// StreamPing is how often the event gateway pings a connection, StreamPong
	// how long it waits for the answer, both in real time; 0 means 30 s and 10 s.
	StreamPing, StreamPong time.Duration
	// KeepCalls is how many recorded calls are kept; 0 means 2 000.
	KeepCalls int
	// AllowRemote answers connections that did not arrive on a loopback address.
	AllowRemote bool
	// Now is the clock; nil means time.Now. Skew is added to it.
	Now func() time.Time
	// Rand is the source of codes, tokens and ids; nil means crypto/rand.
	Rand io.Reader
	// Logger receives one debug line per vendor call; nil means none.
	Logger *slog.Logger
}

// Corp is one organisation.
type Corp struct {
	ID          string // corpId: "ding" and lower-case letters and digits
	Name        string
	Apps        []App
	Departments []Department // the root, id 1, is added when absent
	People      []Person
	Yida        []YidaApp // none: SampleYidaApp
}

// App is one internal application of an organisation.
type App struct {
	Key     string `json:"app_key"` // Client ID
	Secret  string `json:"-"`       // Client Secret
	AgentID int64  `json:"agent_id"`
	Name    string `json:"name"`
	// HomeURL opens from the workbench; $CORPID$ in its query is replaced.
	HomeURL string `json:"home_url"`
	// Icon is the text on the tile, one or two characters; empty: the first
	// character of Name.
	Icon string `json:"icon,omitempty"`
	// Hosts are the registered hosts ("gate.example.com" for any port,
	// "localhost:8080" for one): where a browser may be sent back to, and,
	// beside the host of HomeURL, which pages may ask for a code.
	Hosts []string `json:"hosts"`
	// Permissions are the granted scopes; nil means all the simulator knows.
	Permissions []string `json:"permissions"`
	// Range is what the application may see of the contacts, Visible who may
	// use it; nil means the whole organisation.
	Range   *Range `json:"range,omitempty"`
	Visible *Range `json:"visible,omitempty"`
	// AllowedIPs are the caller addresses let in; empty means any.
	AllowedIPs []string `json:"allowed_ips,omitempty"`
}

// Range names departments (with everything below them) and single people.
type Range struct {
	Departments []int64  `json:"departments"`
	Users       []string `json:"users"`
}

// Department is one department; ParentID 0 means the root, 1.
type Department struct {
	ID       int64    `json:"dept_id"`
	ParentID int64    `json:"parent_id,omitempty"`
	Name     string   `json:"name"`
	Code     string   `json:"code,omitempty"`
	Order    int64    `json:"order,omitempty"`
	Managers []string `json:"dept_manager_userid_list,omitempty"`
	// Hidden departments are not shown to other people; Permits and
	// PermitUsers may see them nevertheless. To an application in whose range
	// they are it makes no difference.
	Hidden      bool     `json:"hide_dept,omitempty"`
	Permits     []int64  `json:"dept_permits,omitempty"`
	PermitUsers []string `json:"user_permits,omitempty"`
}

// Role is a role of a person as user/get shows it.
type Role struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	GroupName string `json:"group_name"`
}

// Person is a member, a former member or an external contact of one
// organisation. The JSON names are those of user/get, so that the control door
// speaks as the vendor does; what the vendor has no name for comes last.
type Person struct {
	UserID        string  `json:"userid"`
	UnionID       string  `json:"unionid,omitempty"` // made from corp and userid when empty
	Name          string  `json:"name"`
	Avatar        string  `json:"avatar,omitempty"`
	StateCode     string  `json:"state_code,omitempty"` // "86" when a mobile is set
	Mobile        string  `json:"mobile,omitempty"`
	HideMobile    bool    `json:"hide_mobile,omitempty"`
	Telephone     string  `json:"telephone,omitempty"`
	JobNumber     string  `json:"job_number,omitempty"`
	Title         string  `json:"title,omitempty"`
	Email         string  `json:"email,omitempty"`
	OrgEmail      string  `json:"org_email,omitempty"`
	WorkPlace     string  `json:"work_place,omitempty"`
	Remark        string  `json:"remark,omitempty"`
	Extension     string  `json:"extension,omitempty"` // a JSON text
	ManagerUserID string  `json:"manager_userid,omitempty"`
	Departments   []int64 `json:"dept_id_list,omitempty"` // empty: the root
	LeaderOf      []int64 `json:"leader_of,omitempty"`
	Roles         []Role  `json:"role_list,omitempty"`
	HiredDate     int64   `json:"hired_date,omitempty"` // Unix milliseconds
	Unactivated   bool    `json:"-"`                    // "active": false
	RealAuthed    bool    `json:"real_authed,omitempty"`
	Senior        bool    `json:"senior,omitempty"`
	Admin         bool    `json:"admin,omitempty"`
	Boss          bool    `json:"boss,omitempty"`
	SysLevel      int     `json:"sys_level,omitempty"` // 1 main, 2 sub-administrator, 100 boss; 0 from Admin and Boss
	Enterprise    bool    `json:"exclusive_account,omitempty"`

	Nick          string    `json:"nick,omitempty"`           // personal nickname; Name when empty
	PersonalEmail string    `json:"personal_email,omitempty"` // of contact/users/me
	External      bool      `json:"external,omitempty"`       // external contact, no employee
	OutOfRange    bool      `json:"out_of_range,omitempty"`   // outside every application's range
	Left          time.Time `json:"left,omitzero"`            // when the person left; zero: still here
	LeaveReason   string    `json:"leave_reason,omitempty"`   // oapi, cancel, leave, unknown, delete
}

type personFields Person // without the methods, for the decoder

// MarshalJSON writes the person with "active" as user/get has it.
func (p Person) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		personFields
		Active bool `json:"active"`
	}{personFields(p), !p.Unactivated})
}

// UnmarshalJSON reads over the person: absent fields keep their value.
func (p *Person) UnmarshalJSON(raw []byte) error {
	in := struct {
		*personFields
		Active *bool `json:"active"`
	}{personFields: (*personFields)(p)}
	if err := json.Unmarshal(raw, &in); err != nil {
		return fmt.Errorf("person: %w", err)
	}
	if in.Active != nil {
		p.Unactivated = !*in.Active
	}
	return nil
}

var corpIDForm = regexp.MustCompile(`^ding[a-z0-9]+$`)

// validate reports every mistake of the configuration at once.
func (c Config) validate() error {
	var errs []error
	if len(c.Corps) == 0 {
		errs = append(errs, errors.New("no organisation configured"))
	}
	corps, keys := map[string]bool{}, map[string]bool{}
	for i, corp := range c.Corps {
		name := fmt.Sprintf("corps[%d] %q", i, corp.ID)
		if !corpIDForm.MatchString(corp.ID) {
			errs = append(errs, fmt.Errorf("%s: id must be \"ding\" and lower-case letters or digits", name))
		}
		if corps[corp.ID] {
			errs = append(errs, fmt.Errorf("%s: id used twice", name))
		}
		corps[corp.ID] = true
		for _, err := range slices.Concat(corp.validateApps(keys), corp.validateDirectory(), corp.validateYida()) {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("dingtalksim: configuration: %w", err)
	}
	return nil
}

func (c Corp) validateApps(keys map[string]bool) (errs []error) {
	if len(c.Apps) == 0 {
		errs = append(errs, errors.New("no application configured"))
	}
	agents := map[int64]bool{}
	for i, a := range c.Apps {
		if err := a.validate(); err != nil {
			errs = append(errs, fmt.Errorf("apps[%d] %q: %w", i, a.Key, err))
		}
		if keys[a.Key] {
			errs = append(errs, fmt.Errorf("apps[%d] %q: app key used twice", i, a.Key))
		}
		if agents[a.AgentID] {
			errs = append(errs, fmt.Errorf("apps[%d] %q: agent id %d used twice", i, a.Key, a.AgentID))
		}
		keys[a.Key], agents[a.AgentID] = true, true
	}
	return errs
}

func (a App) validate() error {
	var errs []error
	if a.Key == "" || a.Secret == "" {
		errs = append(errs, errors.New("app key and app secret are needed"))
	}
	if a.AgentID <= 0 {
		errs = append(errs, errors.New("agent id must be positive"))
	}
	// $CORPID$ is not a legal escape but legal in a query; url.Parse takes it.
	if u, err := url.Parse(a.HomeURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		errs = append(errs, fmt.Errorf("home URL %q must be an absolute http or https address", a.HomeURL))
	}
	for _, h := range a.Hosts {
		if h == "" || strings.ContainsAny(h, "/?#@ ") {
			errs = append(errs, fmt.Errorf("registered host %q must be a host or host:port, without scheme or path", h))
		}
	}
	for _, p := range a.Permissions {
		if !knownPermission(p) {
			errs = append(errs, fmt.Errorf("unknown permission %q (known: %s)", p, strings.Join(allPermissions(), ", ")))
		}
	}
	return errors.Join(errs...)
}

func (c Corp) validateDirectory() (errs []error) {
	depts := map[int64]bool{rootDept: true}
	for _, d := range c.Departments {
		if d.ID <= 0 || (d.ID != rootDept && depts[d.ID]) {
			errs = append(errs, fmt.Errorf("department %d %q: id must be positive and used once", d.ID, d.Name))
		}
		depts[d.ID] = true
	}
	for _, d := range c.Departments {
		if d.ID != rootDept && d.ParentID != 0 && !depts[d.ParentID] {
			errs = append(errs, fmt.Errorf("department %d %q: parent %d does not exist", d.ID, d.Name, d.ParentID))
		}
	}
	if id, ok := departmentLoop(c.Departments); ok {
		errs = append(errs, fmt.Errorf("department %d is its own ancestor", id))
	}
	seen, unions := map[string]bool{}, map[string]bool{}
	for i, p := range c.People {
		if p.UnionID != "" && unions[p.UnionID] {
			errs = append(errs, fmt.Errorf("people[%d]: unionid %q used twice", i, p.UnionID))
		}
		unions[p.UnionID] = true
		if seen[p.UserID] {
			errs = append(errs, fmt.Errorf("people[%d]: userid %q used twice", i, p.UserID))
		}
		seen[p.UserID] = true
		if err := p.validate(func(id int64) bool { return depts[id] }); err != nil {
			errs = append(errs, fmt.Errorf("people[%d]: %w", i, err))
		}
	}
	return errs
}

// departmentLoop finds a department that is above itself: a client that walks
// the tree, and the simulator too, would never come to an end.
func departmentLoop(depts []Department) (int64, bool) {
	parent := map[int64]int64{}
	for _, d := range depts {
		parent[d.ID] = d.ParentID
	}
	for _, d := range depts {
		steps := 0
		for id := d.ID; id != 0 && id != rootDept; id = parent[id] {
			if steps++; steps > len(depts) {
				return d.ID, true
			}
		}
	}
	return 0, false
}

// validate checks one person; exists tells whether a department is there.
func (p Person) validate(exists func(int64) bool) error {
	if n := len(p.UserID); n < 1 || n > 64 {
		return fmt.Errorf("userid %q must have 1 to 64 characters", p.UserID)
	}
	if p.Name == "" {
		return fmt.Errorf("%s: name is needed", p.UserID)
	}
	for _, d := range p.Departments {
		if !exists(d) {
			return fmt.Errorf("%s: department %d does not exist", p.UserID, d)
		}
	}
	if p.Extension != "" && !json.Valid([]byte(p.Extension)) {
		return fmt.Errorf("%s: extension must be a JSON text", p.UserID)
	}
	return nil
}
