package admin_test

import (
	"kdgate/web/admin"
)

// workPages are the pages about people and work, over the same real parts.
func (h *house) workPages() []admin.Page {
	h.Helper()
	return []admin.Page{&admin.SessionsPage{Keeper: h.sessions}}
}
