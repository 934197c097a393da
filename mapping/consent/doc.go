// Package consent is the register of who has agreed that personal data beyond
// what a sign-in needs go from DingTalk to Kingdee (F44).
//
// It owns a row for each person: what they said, to which version of the text,
// when, by whom and how it was written down, and the same of everything they said
// before. It refuses to change a row before that is on record in the audit log,
// to take a word about another version of the text for one about this, to take
// a register that could not be asked for a "no", and to decide what is sent:
// jobs/directory asks it. A withdrawal that a failover forgot is put back in force
// from the audit log (Reassert); a consent never is.
//
//	            give (self, import, paper)
//	(none) ───────────────────────────────► given, version V
//	                                          │  ▲
//	                                 withdraw │  │ give
//	                                          ▼  │
//	                                       withdrawn
//
// # Keys
//
//	consent/CORP/USERID   a person's row, with its history
//
// Parts are escaped as in addresses. A row is never deleted: that somebody
// withdrew, and when, is what has to be shown later.
package consent
