// Package checkup tests everything that a sign-in and the jobs depend on,
// permission by permission, and names for each fault its cause (F32, F93).
//
// It owns the list of what is tested, what counts as a fault or a warning, and
// the names of the causes, for which web/words/admin/checkup.*.json says in each
// language what is wrong and where to put it right. The connections page, kdgate
// check and the monthly self-check are three faces of the one Doctor.
//
// It refuses to change anything at a peer, and to say "fine" about what could not be looked at: that is Unknown.
package checkup
