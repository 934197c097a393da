package dingtalk

// Class is what a call is for: the budgets of DingTalk's limits are kept and
// shown by it.
type Class string

// The classes of calls. The zero value counts as sign-in, which is never held
// back for the sake of another.
const (
	ClassLogin     Class = "login"
	ClassDirectory Class = "directory"
	ClassMessage   Class = "message"
	ClassApproval  Class = "approval"
)

func (c *Client) countEvent(string) {}
