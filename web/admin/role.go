package admin

import (
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping"
)

// Role is what somebody may do in the console (F30).
type Role string

// The roles. A person has one.
const (
	Admin        Role = "admin"         // everything, but nothing of their own alone (T100)
	MappingAdmin Role = "mapping-admin" // the mapping table, without privilege, sharing and locked rows
	Auditor      Role = "auditor"       // reads the log and what is drawn from it, changes nothing (T99)
)

// Access is who may use a route: one bit for each role, or Anyone.
type Access uint8

// The bits of an Access. The zero Access is nobody's and is refused by New.
const (
	Anyone Access = 1 << iota // also somebody who is not proven
	ToAdmin
	ToMappingAdmin
	ToAuditor

	ToMappers   = ToAdmin | ToMappingAdmin
	ToReaders   = ToAdmin | ToAuditor
	ToEveryRole = ToAdmin | ToMappingAdmin | ToAuditor
)

// holds reports whether a role is let in.
func (a Access) holds(role Role) bool {
	if a&Anyone != 0 {
		return true
	}
	switch role {
	case Admin:
		return a&ToAdmin != 0
	case MappingAdmin:
		return a&ToMappingAdmin != 0
	case Auditor:
		return a&ToAuditor != 0
	default:
		return false
	}
}

// Person is who sits at the console.
type Person struct {
	Name     string           // as the audit log has it: CORP/USERID, or breakglass:ACCOUNT
	Display  string           // for people's eyes only, never a key
	Subject  identity.Subject // zero for the emergency account
	Role     Role
	Door     identity.Door
	ProvenAt time.Time // when they last proved who they are (T14)
	Ends     time.Time // the absolute end of the console session

	mustChange bool // entered with the one-time secret: nothing but a new password is open (T106)
}

// IsZero reports that nobody is there.
func (p Person) IsZero() bool { return p.Name == "" }

// IsBreakGlass reports the emergency account, behind which any one person may
// sit: it counts as nobody's second pair of eyes.
func (p Person) IsBreakGlass() bool { return p.Door == identity.DoorBreakGlass }

// May reports whether a route is this person's, for links that a page shows.
func (p Person) May(a Access) bool { return p.Role != "" && a.holds(p.Role) }

// Actor is the person towards the mapping table.
func (v *Visit) Actor() mapping.Actor {
	return mapping.Actor{Name: v.Who.Name, Admin: v.Who.Role == Admin, Source: v.Source(), RequestID: v.RequestID()}
}

// Records of what one person, or one network without a proof, is refused (T118).
const (
	refusalsAtOnce = 20
	refusalPause   = 10 * time.Second
)

// flood says that such refusals of this person are alike. The emergency account
// is nobody before it has proven itself: there the network counts.
func (v *Visit) flood(what string) audit.Flood {
	who := v.Who.Name
	if v.Who.IsZero() || v.Who.IsBreakGlass() {
		who = addressPart(v.Source())
	}
	return audit.Flood{Key: "console/" + what + "/" + who, AtOnce: refusalsAtOnce, Pause: refusalPause}
}

// Event begins an audit record of what this person does.
func (v *Visit) Event(action audit.Action, outcome audit.Outcome) audit.Event {
	return audit.Event{
		Action: action, Outcome: outcome, Actor: v.Who.Name, Door: string(v.Who.Door),
		Source: v.Source(), RequestID: v.RequestID(), UserAgent: v.R.UserAgent(),
	}
}
