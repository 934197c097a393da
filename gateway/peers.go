package gateway

import (
	"context"
	"net/http"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// Provider proves who somebody is, for one organisation. It stands here so that
// gateway need not import dingtalk.
type Provider interface {
	// AuthorizeURL is where the browser door sends a browser.
	AuthorizeURL(state, redirectURI string) string
	// InClient trades a code of the DingTalk client (requestAuthCode).
	InClient(ctx context.Context, code identity.Secret) (identity.Assertion, error)
	// Browser trades a code that came back over OAuth 2.0.
	Browser(ctx context.Context, code identity.Secret) (identity.Assertion, error)
}

// Resolver walks the chain userid → staff number → login user and re-reads its
// state at every call (T41). It stands here so that gateway need not import mapping.
type Resolver interface {
	Resolve(ctx context.Context, who identity.Assertion, dataCentre string) (identity.Account, error)
}

// ServiceProvider lets a person in to one data centre and out again. It stands
// here so that gateway need not import kingdee.
type ServiceProvider interface {
	// MintLink makes a login link for this account, with the time of now (T28).
	MintLink(ctx context.Context, account identity.Account, place Place) (identity.Secret, error)
	// SignOut ends the account's session at the data centre.
	SignOut(ctx context.Context, account identity.Account) error
}

// Foreseer is told who is about to be resolved, while something else is waited
// for, and may read what Resolve will need for that very sign-in.
type Foreseer interface {
	Expect(ctx context.Context, who identity.Assertion, dataCentre string)
}

// Sessions keeps browser sessions. It stands here so that gateway need not
// import identity/session and its cookie library.
type Sessions interface {
	// Start opens a session whose cookie value derives from token and sets the
	// cookie. The same token twice is the same session; an ended one stays ended.
	// What is to be written alongside goes in the same commit: after an error of
	// kind Unavailable it may be written, after any other it is not.
	Start(ctx context.Context, w http.ResponseWriter, who identity.Assertion, token identity.Secret, alongside ...store.Op) (identity.Principal, error)
	// Current is the person behind the request's cookie. An error of kind
	// Unauthenticated means nobody; any other kind means it could not be asked.
	Current(r *http.Request) (identity.Principal, error)
	// End ends the request's session, drops the cookie and says who it was.
	End(w http.ResponseWriter, r *http.Request) (identity.Principal, error)
}

// Handles finds a live session by the handle that its Principal names, for what
// goes on from a session and may not outlive it. It stands here so that gateway
// need not import identity/session.
type Handles interface {
	ByHandle(ctx context.Context, who identity.Subject, handle string) (identity.Principal, error)
}

// Proxy passes people's requests on to a data centre that only the gateway
// reaches. It stands here so that gateway need not import its own proxy room.
type Proxy interface {
	// Serve passes a request on; after an error nothing was answered yet. The
	// kind Unauthenticated means that a sign-in helps, or with KD-404 a launch.
	Serve(w http.ResponseWriter, r *http.Request) error
	// Enter redeems a link in the browser's place, sets Kingdee's cookies for
	// our host and gives the path where the browser goes on.
	Enter(w http.ResponseWriter, r *http.Request, who identity.Principal, account identity.Account, link identity.Secret) (string, error)
	// Leave drops what the browser holds of Kingdee.
	Leave(w http.ResponseWriter, r *http.Request, who identity.Principal)
	// HeaderAllowed names the headers with an underscore that Kingdee needs.
	HeaderAllowed(name string) bool
}

// Asserter signs who somebody is, for an application behind /forward-auth. It
// stands here so that gateway need not import identity/token.
type Asserter interface {
	Assert(ctx context.Context, who identity.Principal, loginUser string) (token identity.Secret, until time.Time, err error)
}

// Recorder writes the audit log. It returns only when the record is durable,
// and nothing is done before it has returned nil.
type Recorder interface {
	Append(ctx context.Context, event audit.Event) error
}

// Observer counts what happens; it must not block. It stands here so that
// gateway need not import prometheus.
type Observer interface {
	// SignIn counts one finished sign-in: door, result (ok, failed), and whose
	// fault a failure is (none, user, dingtalk, kingdee, gateway), and how long
	// the exchange took, zero when nothing was sent upstream.
	SignIn(door identity.Door, result, fault string, took time.Duration)
	// Launch counts one launch: data centre and result (ok, or a short code).
	Launch(target, result string)
}

// Place is the form a link opens. Every field comes from the server-side list
// (Form), because Kingdee does not sign them (T31).
type Place struct {
	FormID string // Kingdee form id, empty for the main console
	Type   string // bill, list, dynamicform, …; empty for the main console
	PK     string // primary key of the bill, empty otherwise
	Entry  string // html5, light, mobile, …; empty for the data centre's own default
}

type nobody struct{}

func (nobody) SignIn(identity.Door, string, string, time.Duration) {}
func (nobody) Launch(string, string)                               {}
