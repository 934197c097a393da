// Command kdgate is the gate between DingTalk and Kingdee Cloud Galaxy. It
// parses flags, reads the configuration and runs; everything else is below.
package main
