// Package topology finds out which network namespaces a node has, which of its devices lead into each, and which
// processes and control groups live there.
//
// A packet knows its device and its namespace; the task that a softirq happened to interrupt says nothing about whose
// packet it is. So a container is found by namespace.
package topology

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netns"

	"perfrun.dev/netwatch/node"
)

// Space is one network namespace.
type Space struct {
	IP      string            `json:"ip"` // its first address that is not local, "" where it has none
	IPs     []string          `json:"ips"`
	NetNS   uint32            `json:"netns"`
	Ifindex int               `json:"host_ifindex"` // of the node's veth that leads into it, 0: none
	Device  string            `json:"host_dev"`
	Inside  string            `json:"dev"` // the name of the veth's other end, inside
	MTU     int               `json:"mtu"`
	PIDs    []int             `json:"pids"`
	Cgroups map[string]string `json:"cgroups"` // process → its control group, seen from the hierarchy's root
}

// Map is all of them.
type Map struct {
	Node   uint32  `json:"node_netns"` // the namespace that this process is in
	Spaces []Space `json:"pods"`
}

// Read looks at every process, from the calling thread's network namespace. The caller shares the node's process namespace.
//
// A namespace is listed when a veth of this process's namespace leads into it, or when one of pids is in it: where
// several nodes share a kernel, the others' are left out.
func Read(pids []int) (Map, error) {
	here, err := netns.Get()
	if err != nil {
		return Map{}, fmt.Errorf("this process's network namespace is not seen: %w", err)
	}
	defer here.Close()
	var found Map
	err = node.Unconfined(func() (err error) {
		if err = netns.Set(here); err == nil {
			found, err = read(pids)
		}
		return err
	})
	return found, err
}

func read(pids []int) (Map, error) {
	own, err := node.Inode("/proc/thread-self/ns/net")
	if err != nil {
		return Map{}, fmt.Errorf("this process's network namespace is not seen: %w", err)
	}
	members, err := processes()
	if err != nil {
		return Map{}, err
	}
	ends, err := newEnds()
	if err != nil {
		return Map{}, err
	}
	defer ends.close()
	found := Map{Node: own}
	for space, inside := range members {
		if space == own {
			continue
		}
		each := Space{NetNS: space, PIDs: inside, IPs: []string{}, Cgroups: map[string]string{}}
		wanted := slices.ContainsFunc(pids, func(pid int) bool { return slices.Contains(inside, pid) })
		if !ends.describe(&each) && !wanted {
			continue
		}
		each.group()
		found.Spaces = append(found.Spaces, each)
	}
	slices.SortFunc(found.Spaces, func(a, b Space) int { return int(a.NetNS) - int(b.NetNS) })
	host := Space{NetNS: own, PIDs: members[own], Device: "", Cgroups: map[string]string{}}
	host.IPs = ends.own()
	host.group()
	found.Spaces = append(found.Spaces, host)
	return found, nil
}

// processes are the processes of each network namespace.
func processes() (map[uint32][]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("the node's processes are not seen: %w", err)
	}
	members := map[uint32][]int{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// One that just ended is of no interest.
		if space, err := node.Inode(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil {
			members[space] = append(members[space], pid)
		}
	}
	for _, each := range members {
		slices.Sort(each)
	}
	return members, nil
}

func (s *Space) group() {
	for _, pid := range s.PIDs {
		if path := Cgroup(pid); path != "" {
			s.Cgroups[strconv.Itoa(pid)] = path
		}
	}
}

// Cgroup is where a process is in the hierarchy that tells containers apart: the deepest one.
func Cgroup(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	deepest := ""
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && strings.Count(parts[2], "/") > strings.Count(deepest, "/") {
			deepest = parts[2]
		}
	}
	return deepest
}

// Find is the namespace with an address.
func (m Map) Find(ip string) (Space, bool) {
	wanted, err := netip.ParseAddr(ip)
	if err != nil {
		return Space{}, false
	}
	for _, each := range m.Spaces {
		for _, text := range each.IPs {
			if has, err := netip.ParseAddr(text); err == nil && has.Unmap() == wanted.Unmap() {
				return each, true
			}
		}
	}
	return Space{}, false
}

// Holding is the namespace with a process.
func (m Map) Holding(pid int) (Space, bool) {
	for _, each := range m.Spaces {
		if slices.Contains(each.PIDs, pid) {
			return each, true
		}
	}
	return Space{}, false
}

// Tasks are the threads of all processes in the namespace.
func (s Space) Tasks() []int {
	var tasks []int
	for _, pid := range s.PIDs {
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, entry := range entries {
			if task, err := strconv.Atoi(entry.Name()); err == nil {
				tasks = append(tasks, task)
			}
		}
	}
	return tasks
}

// Container is where the control group of a container is found: the path that bears its id.
func (m Map) Container(id string) (path string, pids []int) {
	if id == "" {
		return "", nil
	}
	for _, space := range m.Spaces {
		for _, pid := range space.PIDs {
			group := space.Cgroups[strconv.Itoa(pid)]
			if at := strings.Index(group, id); at >= 0 {
				// A container may make groups of its own below it.
				rest := group[at:]
				if end := strings.IndexByte(rest, '/'); end >= 0 {
					group = group[:at+end]
				}
				path, pids = group, append(pids, pid)
			}
		}
	}
	return path, pids
}
