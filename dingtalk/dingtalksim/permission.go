package dingtalksim

import "slices"

// The scopes of section 0.5 that the simulated calls ask for. The last two of
// the contacts are field permissions: without them the call succeeds and the
// fields are missing for everyone.
const (
	permBase        = "qyapi_base"
	permMember      = "qyapi_get_member"
	permDeptMember  = "qyapi_get_department_member"
	permDeptList    = "qyapi_get_department_list"
	permByMobile    = "qyapi_get_member_by_mobile"
	permFieldMobile = "fieldMobile" // 企业员工手机号信息
	permFieldEmail  = "fieldEmail"  // 邮箱等个人信息
	permAppBase     = "open_app_api_base"
	permUserRead    = "Contact.User.Read"
	permUserMobile  = "Contact.User.mobile"
	permLeavers     = "Contact.Common.Read"
)

func allPermissions() []string {
	return []string{
		permBase, permMember, permDeptMember, permDeptList, permByMobile, permFieldMobile,
		permFieldEmail, permAppBase, permUserRead, permUserMobile, permLeavers, permInstRead, permInstWrite, permManage,
		permYidaProcess, permYidaRead, permYidaWrite,
	}
}

func knownPermission(name string) bool { return slices.Contains(allPermissions(), name) }

func (a *App) granted(perm string) bool {
	return perm == "" || a.Permissions == nil || slices.Contains(a.Permissions, perm)
}

// snapshot lists what the application is granted now, for a token to carry.
func (a *App) snapshot() []string {
	if a.Permissions == nil {
		return allPermissions()
	}
	return slices.Clone(a.Permissions)
}

// permitted says whether the caller's token carries perm. A permission counts
// only for tokens made after the grant (SIM-D32); one taken away is gone at once.
func (c *call) permitted(perm string) bool {
	if perm == "" {
		return true
	}
	if !c.app.load().granted(perm) {
		return false
	}
	return c.s.sw().PermissionImmediate || c.token == nil || slices.Contains(c.token.perms, perm)
}
