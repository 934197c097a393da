// Package storetest holds every store driver to one behaviour, and gives tests
// a real Redis to work with.
//
// It owns the conformance suite (Run), which drives a driver the way domains do,
// sealed and from two handles, and attacks it the way somebody with access to
// the engine could. It refuses fakes: StartRedis starts redis-server.
package storetest
