// Package rulebook keeps what people decide about the rules of approvals outside
// of the configuration file: rules written in the console, which version of a
// rule is switched on, on which real approval a version was tried, and every
// version that a bill was made by.
//
// It owns the text form of a rule (YAML with the configuration's own keys), its
// strict reading with the line of every mistake, the differences between
// versions, and the answer to which rules are in force (Force). It refuses to
// judge who may do what, and to run a rule: that is jobs/approval's.
//
// # What is in force
//
//	file, mode on        ─────────────────────────────────────► acts
//	file, mode preview   ─────────────────────────────────────► never acts
//	file, mode console   ──tried──► switched on, this version ─► acts; a changed rule is off again
//	console              ──tried──► switched on, that version ─► acts; a newer text waits until it is switched on
//	console, whose form the file names too ───────────────────► never acts: the file wins
//
// What is missing in the store reads as "off", and what a failover put back becomes
// so from the audit log (Reassert): a store that lost writes makes fewer bills,
// never more.
//
// # Keys
//
//	approval/book/rule/CORP/HASH OF NAME     a rule written in the console
//	approval/book/switch/CORP/HASH OF NAME   which version is switched on
//	approval/tried/PRINT                     the approval a version was tried on
//	approval/version/PRINT                   a version
//	approval/versions/CORP/HASH OF NAME/TIME/PRINT   its place among those of its rule
package rulebook
