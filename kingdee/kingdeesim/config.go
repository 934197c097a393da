package kingdeesim

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config describes one simulated server. Only DataCentres is required.
type Config struct {
	DataCentres []DataCentre
	Switches    Switches
	IdleLimit   time.Duration    // idle life of a session; 0 means the vendor's 20 minutes (K35)
	StateFile   string           // where used links are remembered over a restart (K87); "" means memory only
	PollWait    time.Duration    // how long a progress poll waits for news; 0 means 25 s
	KeepCalls   int              // how many received calls to keep; 0 means 5,000
	Now         func() time.Time // nil means the machine's clock
	Logger      *slog.Logger     // nil means silence
}

// DataCentre is one tenant database (数据中心).
type DataCentre struct {
	ID      string // 14 hex characters
	Number  string
	Name    string
	Hash    string // "sha256" (PT-146911 8.0.0.202205 and later; also the meaning of "") or "sha1"
	Version string // as a login reply shows it; "" means one that fits Hash
	Rows    []Row
	Tables  Tables
}

// Row is one record of 第三方系统登录授权, the authorisation of an outside system.
type Row struct {
	AppID           string
	Secret          string
	IntegrationUser string        // needed for API logins, not for links
	Disabled        bool          // the row is switched off
	Window          time.Duration // 链接有效时间; 0 means the default of 10 minutes, below 0 means the setting 0, which refuses everything
	FutureSkew      time.Duration // how far ahead a timestamp may lie; 0 means one minute (K89)
	Reusable        bool          // 支持链接重复使用; false is 链接仅供使用一次
	ListedOnly      bool          // 指定用户登录; false is 允许全部用户登录
	Users           []string      // user names on the list
	WhiteList       []string      // addresses that may call; empty means all (K28)
}

const (
	defaultWindow     = 10 * time.Minute
	defaultFutureSkew = time.Minute
	defaultIdle       = 20 * time.Minute
	defaultPollWait   = 25 * time.Second
	defaultKeepCalls  = 5000
	hashSHA1          = "sha1"
	hashSHA256        = "sha256"
)

// window is the effective validity; 0 means that everything is refused.
func (r Row) window() time.Duration {
	switch {
	case r.Window < 0:
		return 0
	case r.Window == 0:
		return defaultWindow
	default:
		return r.Window
	}
}

func (r Row) skew() time.Duration {
	if r.FutureSkew == 0 {
		return defaultFutureSkew
	}
	return max(r.FutureSkew, 0)
}

func (c Config) withDefaults() Config {
	if c.IdleLimit == 0 {
		c.IdleLimit = defaultIdle
	}
	if c.PollWait == 0 {
		c.PollWait = defaultPollWait
	}
	if c.KeepCalls == 0 {
		c.KeepCalls = defaultKeepCalls
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate reports every mistake at once and changes nothing.
func (c Config) validate() error {
	var all []error
	if len(c.DataCentres) == 0 {
		all = append(all, errors.New("no data centre"))
	}
	seen := map[string]bool{}
	for _, dc := range c.DataCentres {
		if seen[dc.ID] {
			all = append(all, fmt.Errorf("data centre %s stands twice", dc.ID))
		}
		seen[dc.ID] = true
		all = append(all, dc.validate()...)
	}
	return errors.Join(all...)
}

func (d DataCentre) validate() []error {
	var all []error
	fail := func(format string, args ...any) {
		all = append(all, fmt.Errorf("data centre %q: "+format, append([]any{d.ID}, args...)...))
	}
	if !isDataCentreID(d.ID) {
		fail("the id must be 14 hex characters")
	}
	if d.Hash != "" && d.Hash != hashSHA1 && d.Hash != hashSHA256 {
		fail("hash %q is neither sha1 nor sha256", d.Hash)
	}
	apps := map[string]bool{}
	for _, row := range d.Rows {
		if row.AppID == "" || row.Secret == "" || apps[row.AppID] {
			fail("row %q needs an app id of its own and a secret", row.AppID)
		}
		apps[row.AppID] = true
	}
	for _, err := range d.Tables.validate() {
		fail("%w", err)
	}
	return all
}

func isDataCentreID(id string) bool {
	if len(id) != 14 {
		return false
	}
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}
