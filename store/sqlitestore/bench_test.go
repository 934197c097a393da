package sqlitestore

import (
	"testing"

	"kdgate/store/storetest"
)

func BenchmarkGet(b *testing.B)    { storetest.BenchmarkGet(b, openTest(b, Config{})) }
func BenchmarkCommit(b *testing.B) { storetest.BenchmarkCommit(b, openTest(b, Config{})) }
