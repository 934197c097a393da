package dingtalk

import (
	"context"
	"errors"

	"kdgate/identity"
)

// Calls by which a permission is proved without an effect: they are about a person,
// an approval or a task that nobody has, so a refusal of the record is the answer
// that was hoped for.
var (
	opProbeMembers  = probeOf(opMembers)
	opProbeComment  = probeOf(opComment)
	opProbeProgress = probeOf(opSendProgress)
)

// probeOf is an operation that is asked for nobody.
func probeOf(op operation) operation {
	op.probe = true
	return op
}

const (
	probeInstance = "kdgate-probe-nobody"
	probeTask     = 1
)

// ErrUntold is a probe that the vendor refused for another reason than the one that
// is looked for, so that it proves nothing either way.
var ErrUntold = errors.New("dingtalk: the answer does not tell")

// ProbeStream proves that an event connection would be opened: it asks for a ticket
// and leaves it. A ticket that nobody dials with ends by itself after 90 seconds
// (reference 6.6); that the address can be dialled is not proved.
func (c *Client) ProbeStream(ctx context.Context) error {
	_, err := c.Stream(StreamConfig{}).ticket(ctx)
	return err
}

// ProbeDepartments proves qyapi_get_department_list by one level of the tree. A root
// outside the application's range proves it too.
func (c *Client) ProbeDepartments(ctx context.Context) error {
	_, err := c.children(ctx, RootDepartment)
	return granted(err)
}

// ProbeMembers proves qyapi_get_department_member by one person of the root, who is
// not looked at.
func (c *Client) ProbeMembers(ctx context.Context) error {
	return granted(c.ask(ctx, opProbeMembers, map[string]any{"dept_id": RootDepartment, "cursor": 0, "size": 1, "language": "zh_CN"}, nil))
}

// ProbeApprovals proves that approvals of a process can be listed: the permission,
// and that DingTalk knows the process code. It costs one call of the quota.
func (c *Client) ProbeApprovals(ctx context.Context, process string) error {
	if process == "" {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: approvals are listed by process")
	}
	end := c.theirNow()
	_, _, err := c.instancePage(ctx, InstanceQuery{Process: process}, end.Add(-instanceSkew), end, "0")
	return err
}

// ProbeComments proves Workflow.Instance.Write by a comment on an approval that
// nobody has. It costs one call of the quota.
func (c *Client) ProbeComments(ctx context.Context) error {
	return granted(c.ask(ctx, opProbeComment, map[string]string{
		"processInstanceId": probeInstance, "text": probeInstance, "commentUserId": probeUser,
	}, nil))
}

// ProbeAgent asks how far a task is that nobody sent, which DingTalk answers only for
// the application's own AgentId. An AgentId that is missing or another's is an error
// of kind Misconfigured; ErrUntold says that neither was proved. It costs one call of
// the quota.
func (c *Client) ProbeAgent(ctx context.Context) error {
	agent, err := c.agent()
	if err != nil {
		return err
	}
	err = c.ask(ctx, opProbeProgress, map[string]any{"agent_id": agent, "task_id": probeTask}, nil)
	kind := identity.KindOf(err)
	if e, ok := errors.AsType[*CallError](err); ok && e.Reason != "" && kind != identity.Misconfigured && kind != identity.Throttled {
		return errors.Join(ErrUntold, err)
	}
	return err
}

// aboutRecord reports whether a rule is about the record that was asked for, and not
// about the application, its rights or its rate.
func (r rule) aboutRecord() bool {
	return r.name == ruleParameter || r.kind == identity.NotFound || r.kind == identity.Forbidden
}

// granted takes "there is none such" and "not in your range" for what they prove: the
// question itself was allowed.
func granted(err error) error {
	if e, ok := errors.AsType[*CallError](err); ok && e.Reason != "" && e.rule.aboutRecord() {
		return nil
	}
	return err
}
