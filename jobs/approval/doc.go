// Package approval makes bills in Kingdee of approvals that were agreed to in
// DingTalk, one bill for one approval.
//
// It owns the rules (which form becomes which bill, field by field), their
// expressions, the templates that ship with the program, the machine that carries
// one approval from the event to the comment, and the search for those whose
// event never came. It refuses to believe an event: the approval is read from
// DingTalk again and acts only when it is over and agreed (T67). It refuses to
// guess: a value that a rule cannot read, a person without a staff number, a
// dictionary without the word ends the attempt and is told; nothing is rounded
// and no amount is ever a float.
//
// # One approval
//
//	received ──► fetched ──► looking ──► saved ──► submitted ──► (attaching) ──► (audited) ──► commenting ──► done
//	   │            │           ▲│                                   ▲│                            ▲│
//	   │            │           └┘ every attempt looks up first      └┘ asks for the files         └┘ and here reads the comments
//	   │            └──► passed over: not agreed, no rule wants it, too old, taken back
//	   └──► running: not over yet; looked at again a few times, then left to the search
//
// Each name is a step that is committed before the next act. The bill's number
// is made from the instance (Number), so that it is the same in every attempt on
// every replica, and the instance's id stands in the bill's remark. Before a Save
// Kingdee is asked for both; where it cannot be asked nothing is posted. A Save
// of unknown outcome and one that Kingdee refuses as a duplicate end in another
// look-up, and whatever is found is carried on from where it stands (R33, R34).
// What two replicas may still do to each other is decided by Kingdee, whose
// numbers are unique (R35).
//
// A voucher has a number of Kingdee's: it is found by the summary of its first
// row, and Kingdee refuses the same data twice. A file at the bill is found by an
// alias; what is not exact about it stands in docs/decisions/0042-attachments.md.
//
// A comment has no such name at DingTalk. The step before it makes a second
// attempt read the comments that are there; only a replica that was frozen for
// longer than its lease in exactly that call can leave one twice.
package approval
