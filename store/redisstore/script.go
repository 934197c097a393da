package redisstore

import (
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// find tells whether a key is there, under the id it was asked with, and takes
// one that Redis has collected out of the index.
//
//	KEYS index, value · ARGV id, key
const find = `
local value = redis.call('GET', KEYS[2])
if not value then redis.call('ZREM', KEYS[1], ARGV[2]) end
return {ARGV[1], value}`

// page lists keys in byte order, under the id it was asked with.
//
//	KEYS index · ARGV id, from, to, limit
const page = `return {ARGV[1], redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])}`

// The script of a Commit. Managed cluster editions refuse a script in which a
// key is anything but a literal KEYS[n], so there is one per number of ops, the
// lines that touch keys written out for each.
//
//	KEYS index, ends, high, request, then one value per op
//	ARGV id, now, channel, changes, then five per op: kind, key, expected, milliseconds to keep, record
//
// All is judged before anything is written. The change is published first: a
// user without the right to do so is refused while nothing is written, and
// nobody can act on it before the script ends. The request is remembered last.
const (
	fixedKeys = 4
	fixedArgs = 4
	argsPerOp = 5

	commitJudge = `
if redis.call('EXISTS', KEYS[4]) == 1 then return {ARGV[1], 'ok'} end
local zero = '00000000000000000000'
local high = redis.call('GET', KEYS[3]) or zero
local gone = high
for i = 1, #head do
  local a = 5 * i
  local kind, expect, record = ARGV[a], ARGV[a + 2], ARGV[a + 4]
  local stored, ends = string.sub(head[i], 1, 20), string.sub(head[i], 21, 40)
  local there = head[i] ~= ''
  if there and #head[i] < 40 and (kind == 'p' or expect ~= '') then return {ARGV[1], 'malformed', i} end
  local live = there and (ends == zero or ends > ARGV[2])
  if expect == 'absent' then
    if live then return {ARGV[1], 'conflict', i} end
  elseif expect ~= '' then
    if not live or stored ~= expect then return {ARGV[1], 'conflict', i} end
  end
  if kind == 'p' then
    local floor = there and stored or high
    if string.sub(record, 1, 20) <= floor then return {ARGV[1], 'stale', i, floor} end
  elseif kind == 'd' and #head[i] == 40 and stored > gone then
    gone = stored
  end
end
if ARGV[4] == '' then return {ARGV[1], 'ok'} end
redis.call('PUBLISH', ARGV[3], ARGV[4])
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
`

	// V is the number of the op's value in KEYS, A of its first ARGV.
	commitWrite = `
if ARGV[A] == 'p' then
  local keep = tonumber(ARGV[A+3])
  if keep > 0 then
    redis.call('SET', KEYS[V], ARGV[A+4], 'PX', ARGV[A+3])
    redis.call('ZADD', KEYS[2], ms + keep, ARGV[A+1])
  else
    redis.call('SET', KEYS[V], ARGV[A+4])
    redis.call('ZREM', KEYS[2], ARGV[A+1])
  end
  redis.call('ZADD', KEYS[1], 0, ARGV[A+1])
elseif ARGV[A] == 'd' then
  redis.call('DEL', KEYS[V])
  redis.call('ZREM', KEYS[1], ARGV[A+1])
  redis.call('ZREM', KEYS[2], ARGV[A+1])
end
`

	// Keys that Redis has collected leave the index a few at a time, faster
	// than commits can add them.
	commitEnd = `
if gone > high then redis.call('SET', KEYS[3], gone) end
redis.call('SET', KEYS[4], '1', 'PX', 60000)
local past = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ms - 1000, 'LIMIT', 0, 8 + 2 * #head)
for i = 1, #past do
  redis.call('ZREM', KEYS[1], past[i])
  redis.call('ZREM', KEYS[2], past[i])
end
return {ARGV[1], 'ok'}`
)

// commitSource writes out the script for ops steps.
func commitSource(ops int) string {
	var b strings.Builder
	b.WriteString("local head = {}\n")
	for i := range ops {
		n := strconv.Itoa(i + 1)
		b.WriteString("head[" + n + "] = redis.call('GETRANGE', KEYS[" + strconv.Itoa(fixedKeys+i+1) + "], 0, 39)\n")
	}
	b.WriteString(commitJudge)
	for i := range ops {
		b.WriteString(commitWriteFor(i))
	}
	b.WriteString(commitEnd)
	return b.String()
}

func commitWriteFor(op int) string {
	first := fixedArgs + op*argsPerOp + 1
	pairs := []string{"KEYS[V]", "KEYS[" + strconv.Itoa(fixedKeys+op+1) + "]"}
	for i := range argsPerOp {
		name := "ARGV[A+" + strconv.Itoa(i) + "]"
		if i == 0 {
			name = "ARGV[A]"
		}
		pairs = append(pairs, name, "ARGV["+strconv.Itoa(first+i)+"]")
	}
	return strings.NewReplacer(pairs...).Replace(commitWrite)
}

// scripts keeps the scripts of this driver.
type scripts struct {
	find, page *redis.Script

	mu     sync.Mutex
	commit map[int]*redis.Script // by number of ops, at most store.MaxOps
	taught map[string]bool       // by hash: Redis was given its source
}

func newScripts() *scripts {
	return &scripts{find: redis.NewScript(find), page: redis.NewScript(page), commit: map[int]*redis.Script{}, taught: map[string]bool{}}
}

// isTaught reports whether Redis was given the source of a script by this
// driver. One that was not is sent whole: its name alone would cost a reply more
// where Redis does not know it, and whoever waits may have no time for two.
func (s *scripts) isTaught(script *redis.Script) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taught[script.Hash()]
}

func (s *scripts) teach(script *redis.Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taught[script.Hash()] = true
}

// commitFor is the script for that many ops.
func (s *scripts) commitFor(ops int) *redis.Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	script, ok := s.commit[ops]
	if !ok {
		script = redis.NewScript(commitSource(ops))
		s.commit[ops] = script
	}
	return script
}
