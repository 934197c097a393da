package kingdeesim

import (
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// The states of an asynchronous batch (K73).
const (
	taskPending  = 0
	taskRunning  = 1
	taskComplete = 2
)

// keptTasks bounds what is remembered of batches that nobody asks about.
const keptTasks = 1000

// batchTask is a batch that was begun with BeginQueryImpl. It is worked at once,
// whether anybody asks or not; askers see it pending, running, complete.
type batchTask struct {
	id     string
	centre *centre
	status int
	result any
}

// taskReply is what beginning and asking answer.
type taskReply struct {
	TaskId string //nolint:revive // the vendor's spelling
	Status int
	Result any
}

func (t *batchTask) reply() taskReply {
	reply := taskReply{TaskId: t.id, Status: t.status}
	if t.status == taskComplete {
		reply.Result = t.result
	}
	return reply
}

// batchTasks are the asynchronous batches that are remembered, oldest first.
type batchTasks struct {
	mu   sync.Mutex
	list []*batchTask
}

func (b *batchTasks) begin(c *centre, result any) taskReply {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := &batchTask{id: uuid.NewString(), centre: c, status: taskPending, result: result}
	b.list = append(b.list[max(0, len(b.list)-keptTasks+1):], t)
	return t.reply()
}

// ask moves a task one state on, as each poll sees it.
func (b *batchTasks) ask(c *centre, id string) (taskReply, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.find(c, id)
	if at < 0 {
		return taskReply{}, false
	}
	t := b.list[at]
	t.status = min(t.status+1, taskComplete)
	return t.reply(), true
}

func (b *batchTasks) forget(c *centre, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.find(c, id); at >= 0 {
		b.list = slices.Delete(b.list, at, at+1)
	}
}

func (b *batchTasks) find(c *centre, id string) int {
	return slices.IndexFunc(b.list, func(t *batchTask) bool { return t.id == id && t.centre == c })
}

// batchSaveOrBegin is BatchSave, and its asynchronous form where the body names
// the methods that begin it and ask about it (K73).
func (s *Server) batchSaveOrBegin(c caller, args arguments) (any, *opError) {
	method, later := args.named.Get("beginmethod")
	value, bad := batchSave(c, args)
	if text, _ := method.(string); !later || !strings.EqualFold(text, "BeginQueryImpl") {
		return value, bad
	}
	if bad != nil { // told with the result, as every refusal of a batch is
		value = s.errorEnvelope(bad)
	}
	return s.tasks.begin(c.centre, value), nil
}

// queryAsyncResult answers how far a batch is, and with its result once it is
// complete. A batch that is cancelled is forgotten; what it did stays.
func (s *Server) queryAsyncResult(c caller, args arguments) (any, *opError) {
	info, err := args.object(0, "queryInfo")
	if err != nil {
		return nil, failed(codeBadArgument, "queryInfo 的格式不正确")
	}
	id := info.Text("TaskId")
	if isTrue(info.Text("Cancelled")) {
		s.tasks.forget(c.centre, id)
		return taskReply{TaskId: id, Status: taskComplete}, nil
	}
	reply, known := s.tasks.ask(c.centre, id)
	if !known {
		return nil, failed(codeBadArgument, "任务不存在或已过期")
	}
	return reply, nil
}
