package redisstore

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/redis/go-redis/v9"

	"kdgate/store"
)

// unavailable makes any failure to get an answer one error, with words that an
// administrator can act on. None of them is ever read as "not there".
func (d *Driver) unavailable(err error) error {
	return fmt.Errorf("%w: %s: %w", store.ErrUnavailable, d.hint(err), err)
}

// hint says what to do about err.
func (d *Driver) hint(err error) string {
	user := d.user
	if user == "" {
		user = "default"
	}
	switch {
	case redis.IsAuthError(err):
		return fmt.Sprintf("Redis refused the password for user %s: check store.username and store.password_file", user)
	case redis.IsPermissionError(err), redis.HasErrorPrefix(err, "The user executing the script can't run"): // 7.0 says the latter
		return fmt.Sprintf("Redis user %s lacks a permission: see the rights listed in redisstore", user)
	case redis.IsReadOnlyError(err):
		return "Redis answers as a read-only replica: a failover is under way, or store.url names a replica"
	case redis.IsLoadingError(err):
		return "Redis is still loading its data"
	case redis.IsMasterDownError(err):
		return "the Redis replica has lost its master"
	case redis.IsClusterDownError(err):
		return "the Redis cluster is down"
	case redis.IsTryAgainError(err):
		return "our slot of the Redis cluster is being moved to another node"
	case redis.IsOOMError(err):
		return "Redis is out of memory: raise maxmemory, and keep maxmemory-policy noeviction"
	case redis.HasErrorPrefix(err, "MISCONF"):
		return "Redis cannot persist to its disk and refuses writes"
	case redis.HasErrorPrefix(err, "NOREPLICAS"):
		return "Redis refuses writes for want of replicas (min-replicas-to-write)"
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		return "a name of ours holds something else: another program writes to this Redis"
	case errors.Is(err, errGuard):
		return "what answers is not Redis, or has gone mad"
	case errors.Is(err, redis.ErrClosed):
		return "the store is closed"
	default:
		return "Redis cannot be asked"
	}
}

// isNetwork reports a failure below the protocol.
func isNetwork(err error) bool {
	_, netErr := errors.AsType[net.Error](err)
	return netErr || errors.Is(err, errGuard) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, redis.ErrClosed) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}
