// Package directory keeps Kingdee's staff like DingTalk's address book, and
// closes every door behind a leaver.
//
// It owns what is known of each person (Known), the comparison of both sides
// (Run), the acts on one person that an event calls for (Keeper), the leaver's
// cut-off, and what waits for a human: drift, people hired again, runs that the
// breaker stopped. It refuses to believe an event: whatever arrives, the person
// is read from DingTalk again before anything is done (T67). It refuses to take
// the unread for the removed: somebody is a leaver when DingTalk, asked about
// them, says so.
//
// # A run
//
//	read ──► judge ──► write ──► leave ──► drift ──► complete | partial
//	  │        └► stopped: more leavers than the breaker admits; a person decides
//	  └► failed: the address book could not be read to its end
//
// Read walks every department and keeps, page by page, who was seen and whose
// record differs from the one last written. Judge sets aside numbers that two
// people claim, asks DingTalk about everybody who was not seen, and counts. Only
// then is anything written, and leavers come last. Each phase and page is
// committed before the next, so a run that dies goes on within a page (R46). A
// dry run looks every difference up in Kingdee and ends there: it shows what would
// be done and does nothing.
//
// # A person
//
//	           change, move            NotFound at DingTalk
//	(new) ──► active ────────────────────────────► left
//	            ▲                                    │ seen again
//	            └──────────── a person agrees ─── waiting
//
// A leaver is two pieces of work: KindLeave closes our own doors and waits for
// nobody; KindForbid closes Kingdee's, waits for Kingdee, and rests when too many
// leave at once.
//
// # Keys
//
//	directory/person/CORP/USERID     what was written of a person, and their state
//	directory/number/CORP/NUMBER     whose staff number it is, or was
//	directory/department/CORP/ID     the same of a department
//	directory/now/CORP               the run that is under way
//	directory/run/CORP/ID            a run, kept for its history
//	directory/page/CORP/ID/N         what a page of the run saw and will write
//	directory/reading/CORP/XX        what texts came to, by the first byte of their sums: a memory, and may be lost
//	directory/gone/CORP/ID/N         leavers that a run found
//	directory/change/CORP/ID/N       what a run did, for its diff and for undo
//	directory/drift/CORP/NUMBER      a record that was changed in Kingdee
//	directory/hold/CORP/NUMBER       what is kept as Kingdee has it, and until when
//	directory/scope/CORP             the range of the application, as DingTalk told it last
//	directory/order/CORP             what a person wants of the next run
package directory
