package audit

import "kdgate/identity"

// Action is what was done or tried. The set is open: a room may add its own,
// lower case, words joined by dots.
type Action string

// The actions that rooms agree on.
const (
	ActionSignIn          Action = "signin"           // somebody proved, or failed to prove, who they are
	ActionSignOut         Action = "signout"          // a person ended their own session
	ActionSessionEnd      Action = "session.end"      // an administrator or a rule ended a session
	ActionMint            Action = "mint"             // a login link to Kingdee was made
	ActionCanary          Action = "canary"           // the appointed visitor's login link was made, or why not
	ActionForwardEnter    Action = "forward.enter"    // a session was carried to an application on another host
	ActionProxyRedeem     Action = "proxy.redeem"     // the gateway redeemed a link on a person's behalf
	ActionAccessRequest   Action = "access.request"   // a person asked to be mapped
	ActionAccessDecide    Action = "access.decide"    // the request was granted or refused
	ActionMappingCreate   Action = "mapping.create"   //
	ActionMappingChange   Action = "mapping.change"   // Before and After hold the entry
	ActionMappingDelete   Action = "mapping.delete"   //
	ActionMappingSuspend  Action = "mapping.suspend"  //
	ActionMappingResume   Action = "mapping.resume"   //
	ActionMappingImport   Action = "mapping.import"   // one record for each run, with its counts in Detail
	ActionMappingUndo     Action = "mapping.undo"     //
	ActionMappingResolve  Action = "mapping.resolve"  // a link of the chain was broken, or was derived for the first time
	ActionMappingExport   Action = "mapping.export"   //
	ActionRoleChange      Action = "role.change"      //
	ActionConfigLoad      Action = "config.load"      // at start and at each reload, also a refused one
	ActionSecretChange    Action = "secret.change"    // that it changed, never to what
	ActionServeStart      Action = "serve.start"      //
	ActionServeStop       Action = "serve.stop"       //
	ActionPanic           Action = "panic"            // a request met a fault of the program; where is in its log
	ActionSync            Action = "sync"             // one run of a background sync
	ActionCallbackReject  Action = "callback.reject"  // an event callback failed its signature
	ActionQueueDead       Action = "queue.dead"       // a work item was given up
	ActionBackup          Action = "backup"           //
	ActionRestore         Action = "restore"          // two records: begun, and how it ended
	ActionMigrate         Action = "migrate"          // the state went to another store
	ActionAuditRead       Action = "audit.read"       // reads of the log are logged (F40)
	ActionAuditExport     Action = "audit.export"     //
	ActionTrim            Action = "trim"             // retention removed whole days
	ActionBreakGlassEnter Action = "breakglass.enter" // the emergency account was used
)

// Outcome is how it ended.
type Outcome string

// The outcomes. Anything else is refused by Append.
const (
	OK      Outcome = "ok"
	Refused Outcome = "refused" // somebody may not, or a rule said no
	Failed  Outcome = "failed"  // it was allowed and did not work
)

// Event is one thing that happened, as its caller tells it. Every text is
// bounded and made harmless when it is written (see docs/audit-format.md), so hostile
// input may be handed in as it came. Empty fields are left out of the record.
type Event struct {
	Action     Action
	Outcome    Outcome
	Reason     string            // an identity.Code or a few words; 256 bytes
	Actor      string            // who acts: Person(subject), "system" or "cli:USER"; 256 bytes
	OnBehalfOf string            // the person an administrator or a job acts for; 256 bytes
	Target     string            // what is acted on: a person, an account, a form; 512 bytes
	Door       string            // identity.Door, when somebody came through one; 64 bytes
	DataCentre string            // id of the Kingdee data centre; 64 bytes
	Source     string            // client address after trusted proxies; 64 bytes
	UserAgent  string            // 256 bytes
	RequestID  string            // joins the record to the access log; 128 bytes
	Before     string            // state before a change, small JSON or text; 4,096 bytes
	After      string            // state after a change; 4,096 bytes
	Detail     map[string]string // anything else: at most 32 names of 64 bytes, values of 1,024 bytes
	Flood      Flood             // which others it is like, where strangers can make many; not written
}

// Person is how a subject is named as Actor, OnBehalfOf or Target.
func Person(s identity.Subject) string {
	if s.IsZero() {
		return ""
	}
	return s.Corp + "/" + s.UserID
}

// System is the Actor of what nobody asked for: schedules, start and stop.
const System = "system"
