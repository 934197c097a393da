package redisstore

import (
	"testing"

	"kdgate/store/storetest"
)

func BenchmarkGet(b *testing.B) {
	storetest.BenchmarkGet(b, openTest(b, configOf(storetest.StartRedis(b))))
}

func BenchmarkCommit(b *testing.B) {
	storetest.BenchmarkCommit(b, openTest(b, configOf(storetest.StartRedis(b))))
}
