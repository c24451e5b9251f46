package main

import (
	"github.com/vishvananda/netlink"

	"perfrun.dev/netwatch/node"
)

// containerState is what the kernel says of a container's control groups: shortly before a spike, when it was
// noticed, and when its answer came.
type containerState struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Cgroup   string `json:"cgroup"`
	Before   uint64 `json:"nr_throttled_before"`
	Now      uint64 `json:"nr_throttled"`
	After    uint64 `json:"nr_throttled_after"`
	TimeThen uint64 `json:"throttled_ns_before"`
	Time     uint64 `json:"throttled_ns"`
	TimeLate uint64 `json:"throttled_ns_after"`
	Frozen   bool   `json:"frozen"`
	Quota    string `json:"quota"` // as the group's file has it: microseconds of v1, or v2's cpu.max
	CPUs     string `json:"cpus"`
}

type qdiscState struct {
	Device  string `json:"dev"`
	Kind    string `json:"kind"`
	Handle  string `json:"handle"`
	Packets uint32 `json:"backlog_packets"`
	Bytes   uint32 `json:"backlog_bytes"`
	Drops   uint32 `json:"drops"`
}

// container is one that is watched, with the groups that rule it.
type container struct {
	id, name, path        string
	cpu, freezer, cpuset  node.Group
	stat                  *node.Gauge
	throttled, throttling uint64 // when last looked at in calm times
}

func newContainer(id, name, path string) *container {
	c := &container{id: id, name: name, path: path, stat: &node.Gauge{}}
	groups, err := node.ReadHierarchies()
	if err != nil || path == "" {
		return c
	}
	// What is not ruled by a group of its own has no state to tell.
	c.cpu, _ = groups.Group("cpu", path)
	c.freezer, _ = groups.Group("freezer", path)
	c.cpuset, _ = groups.Group("cpuset", path)
	c.stat = c.cpu.Gauge("cpu.stat")
	c.look()
	return c
}

func (c *container) look() { c.throttled, c.throttling = c.counts() }

// counts is how often the group was throttled, and for how many nanoseconds.
func (c *container) counts() (times, nanos uint64) {
	// Of the last two a version of control groups has one, in its own unit.
	seen := c.stat.Read("nr_throttled", "throttled_time", "throttled_usec")
	return seen[0], seen[1] + 1000*seen[2]
}

func (c *container) state() containerState {
	s := containerState{ID: c.id, Name: c.name, Cgroup: c.path, Before: c.throttled, TimeThen: c.throttling}
	s.Now, s.Time = c.counts()
	if c.freezer.Version == 2 {
		// Its tasks stop one by one, as soon as each gets to run: from the order on, or that of a group above it.
		order, _ := c.freezer.Read("cgroup.freeze")
		s.Frozen = order == "1" || c.freezer.Counter("cgroup.events", "frozen") == 1
	} else {
		text, _ := c.freezer.Read("freezer.state")
		s.Frozen = text != "" && text != "THAWED"
	}
	if c.cpu.Version == 2 {
		s.Quota, _ = c.cpu.Read("cpu.max")
	} else {
		s.Quota, _ = c.cpu.Read("cpu.cfs_quota_us")
	}
	s.CPUs, _ = c.cpuset.Read("cpuset.cpus")
	return s
}

// qdiscsOf are the queues of the node's end of a veth.
func qdiscsOf(ifindex int) []qdiscState {
	found := []qdiscState{}
	link, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return found
	}
	queues, err := netlink.QdiscList(link)
	if err != nil {
		return found
	}
	for _, each := range queues {
		about := each.Attrs()
		state := qdiscState{Device: link.Attrs().Name, Kind: each.Type(), Handle: netlink.HandleStr(about.Handle)}
		if about.Statistics != nil && about.Statistics.Queue != nil {
			state.Packets, state.Bytes = about.Statistics.Queue.Qlen, about.Statistics.Queue.Backlog
			state.Drops = about.Statistics.Queue.Drops
		}
		found = append(found, state)
	}
	return found
}
