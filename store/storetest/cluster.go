package storetest

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

// slots is how many slots a Redis Cluster has.
const slots = 16384

// Cluster is a Redis Cluster of three masters without replicas, each a
// redis-server of its own, with a third of the slots each.
type Cluster struct {
	Nodes []*Redis

	tb testing.TB
}

// StartCluster starts three masters with options as on their command lines, and
// returns when they agree that the cluster is whole.
func StartCluster(tb testing.TB, options ...string) *Cluster {
	tb.Helper()
	const nodes = 3
	c := &Cluster{tb: tb}
	options = append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "1000"}, options...)
	for i := range nodes {
		node := StartRedis(tb, options...)
		node.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*slots/nodes), strconv.Itoa((i+1)*slots/nodes-1))
		node.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		c.Nodes = append(c.Nodes, node)
	}
	for _, node := range c.Nodes[1:] {
		host, port, err := net.SplitHostPort(node.Addr)
		if err != nil {
			tb.Fatal(err)
		}
		c.Nodes[0].Do("CLUSTER", "MEET", host, port)
	}
	c.Await()
	return c
}

// Addrs are the addresses of all nodes.
func (c *Cluster) Addrs() []string { return addrs(c.Nodes) }

// Await returns when every node knows the others and finds all slots served.
func (c *Cluster) Await() {
	c.tb.Helper()
	for _, node := range c.Nodes {
		until(c.tb, "the cluster is whole", func() bool {
			info, err := node.Try("CLUSTER", "INFO")
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
}

// Owner is the node that holds the slot of key.
func (c *Cluster) Owner(key string) *Redis {
	c.tb.Helper()
	for _, node := range c.Nodes {
		// Asking for a key of somebody else's slot is refused with MOVED.
		if _, err := node.Try("TYPE", key); err == nil {
			return node
		}
	}
	c.tb.Fatalf("nobody serves the slot of %q", key)
	return nil
}

// Other is a node that does not hold the slot of key.
func (c *Cluster) Other(key string) *Redis {
	owner := c.Owner(key)
	if owner == c.Nodes[0] {
		return c.Nodes[1]
	}
	return c.Nodes[0]
}

// Move moves the slot of key to another node the way redis-cli does: a few keys
// at a time, the slot half here and half there meanwhile. between runs after
// each few.
func (c *Cluster) Move(key string, to *Redis, between func()) {
	c.tb.Helper()
	from := c.Owner(key)
	slot := from.Do("CLUSTER", "KEYSLOT", key)
	fromID, toID := from.Do("CLUSTER", "MYID"), to.Do("CLUSTER", "MYID")
	to.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	from.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	host, port, err := net.SplitHostPort(to.Addr)
	if err != nil {
		c.tb.Fatal(err)
	}
	for {
		keys := strings.Fields(from.Do("CLUSTER", "GETKEYSINSLOT", slot, "10"))
		if len(keys) == 0 {
			break
		}
		from.Do(append([]string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}, keys...)...)
		between()
	}
	to.Do("CLUSTER", "SETSLOT", slot, "NODE", toID) // the new owner first: see the documentation of SETSLOT
	for _, node := range c.Nodes {
		if node != to {
			node.Do("CLUSTER", "SETSLOT", slot, "NODE", toID)
		}
	}
}
