// Package kingdee speaks Kingdee Cloud Galaxy's wire: the third-party sign-on
// link (SimPas V1–V4), the Web API session, and the look-ups that lead from a
// staff number to a login user. It refuses to know DingTalk, the mapping table
// or HTTP handlers, and it never decides who may sign in.
//
// A question to the Web API goes through these states; what ends in which is
// the vendor's decision table, kept as data in decision.go:
//
//	asked ─► session free? ─► logged in? ─► sent ─► judged ─► answer ("[]" too)
//	  ▲          │ budget over     │ refused: brake     │
//	  │          ▼                 ▼                    ├─ lost: log in once, send again
//	  │       KD-401            KD-402                  ├─ passing fault: back-off ─┐
//	  │                                                 └─ else: KD-401 or KD-402   │
//	  └─────────────────────────────────────────────────────────────────────────────┘
//
// A write goes the same way with a policy of its own: it is sent again only when
// it is known not to have begun (no connection, a session that had ended, a
// record in use). Every other missing or broken answer is ErrAmbiguous, and the
// caller looks the record up by number and remark before it posts again; a look-up
// that fails proves nothing. What Kingdee plainly refuses is a Refusal, record by
// record. Filters are made of conditions, amounts of digits: no text of a stranger
// reaches the parser, and no float stands anywhere.
//
// Jobs call through Background: they queue among themselves and leave one session
// to people who sign in.
//
// An empty result means that Kingdee was asked and has none. Whatever could not
// be asked, or was answered in a form nobody knows, is an error. Every error is
// an *identity.Error for people around a *Fault for the operator, and neither
// holds a secret, a session id or a link.
package kingdee
