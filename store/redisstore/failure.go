package redisstore

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"kdgate/store"
)

// unavailable makes any failure to get an answer one error, with words that an
// administrator can act on. None of them is ever read as "not there".
func (d *Driver) unavailable(err error) error {
	return fmt.Errorf("%w: %s: %w", store.ErrUnavailable, d.hint(err), err)
}

// reasons are what an administrator can act on, the first that fits.
var reasons = []struct {
	is    func(error) bool
	words string // %s is the user
}{
	{redis.IsAuthError, "Redis refused the password for user %s: check store.username and store.password_file"},
	{lacksPermission, "Redis user %s lacks a permission: see the rights listed in redisstore"},
	{redis.IsReadOnlyError, "Redis answers as a read-only replica: a failover is under way, or store.url names a replica"},
	{redis.IsLoadingError, "Redis is still loading its data"},
	{redis.IsMasterDownError, "the Redis replica has lost its master"},
	{redis.IsClusterDownError, "the Redis cluster is down"},
	{redis.IsTryAgainError, "our slot of the Redis cluster is being moved to another node"},
	{redis.IsOOMError, "Redis is out of memory: raise maxmemory, and keep maxmemory-policy noeviction"},
	{says("MISCONF"), "Redis cannot persist to its disk and refuses writes"},
	{says("NOREPLICAS"), "Redis refuses writes for want of replicas (min-replicas-to-write)"},
	{says("WRONGTYPE"), "a name of ours holds something else: another program writes to this Redis"},
	{func(err error) bool { return errors.Is(err, errGuard) }, "what answers is not Redis, or has gone mad"},
	{func(err error) bool { return errors.Is(err, redis.ErrClosed) }, "the store is closed"},
}

// says recognises a reply by its first word.
func says(word string) func(error) bool {
	return func(err error) bool { return redis.HasErrorPrefix(err, word) }
}

// lacksPermission knows the words of Redis 7.0 for a script's command too.
func lacksPermission(err error) bool {
	return redis.IsPermissionError(err) || redis.HasErrorPrefix(err, "The user executing the script can't run")
}

// hint says what to do about err.
func (d *Driver) hint(err error) string {
	user := d.user
	if user == "" {
		user = "default"
	}
	for _, reason := range reasons {
		if reason.is(err) {
			return strings.ReplaceAll(reason.words, "%s", user)
		}
	}
	return "Redis cannot be asked"
}

// isNetwork reports a failure below the protocol.
func isNetwork(err error) bool {
	_, netErr := errors.AsType[net.Error](err)
	return netErr || errors.Is(err, errGuard) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, redis.ErrClosed) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}
