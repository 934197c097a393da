// Package review answers what a reviewer asks at the end of a month: who left
// and when their last door closed, who used privileged accounts, which mappings
// nobody uses, who may come in from which department and who agreed to it, who
// administers, and whose sign-ins failed (F43).
//
// It owns the questions and how the answers are drawn from the audit log and the
// mapping table. An answer is a Sheet: rows of texts that a page, a file and a
// printer show alike. It refuses to keep anything, to write, and to know HTTP;
// who may read an answer is the console's.
package review
