// Package kingdee speaks Kingdee Cloud Galaxy's wire: the third-party sign-on
// link (SimPas V1–V4), the Web API session, and the look-ups that lead from a
// staff number to a login user. It refuses to know DingTalk, the mapping table
// or HTTP handlers, and it never decides who may sign in.
package kingdee
