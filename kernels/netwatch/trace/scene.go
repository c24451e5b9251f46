package trace

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"perfrun.dev/netwatch/node"
)

// scene is who takes part in what ftrace watches.
type scene struct {
	netns   uint32         // the probers' network namespace
	devices map[string]int // its devices and their numbers
	probers map[int32]bool // threads of this process
	askers  map[netip.AddrPort]netip.Addr
	ports   map[uint16]bool
	targets []Target
	servers map[int32]int // threads of the targets, and which
}

func newScene(targets []Target, ports []uint16) (s scene, err error) {
	s = scene{
		devices: map[string]int{}, probers: map[int32]bool{}, askers: map[netip.AddrPort]netip.Addr{},
		ports: map[uint16]bool{}, targets: targets, servers: map[int32]int{},
	}
	if s.netns, err = node.Inode("/proc/thread-self/ns/net"); err != nil {
		return s, fmt.Errorf("the prober's network namespace is unknown: %w", err)
	}
	devices, err := net.Interfaces()
	if err != nil {
		return s, fmt.Errorf("the prober's devices are unknown: %w", err)
	}
	for _, one := range devices {
		s.devices[one.Name] = one.Index
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return s, fmt.Errorf("the prober's threads are unknown: %w", err)
	}
	for _, one := range threads {
		if id, err := strconv.Atoi(filepath.Base(one.Name())); err == nil {
			s.probers[int32(id)] = true
		}
	}
	for _, port := range ports {
		s.ports[port] = true
	}
	for i, target := range targets {
		if s.askers[target.Addr], err = asker(target.Addr); err != nil {
			return s, err
		}
		for _, pid := range target.PIDs {
			s.servers[int32(pid)] = i
		}
	}
	return s, nil
}

// filters are what the kernel itself leaves out, by the first kind of event of a tracepoint. Switches are taken of
// all tasks: who runs while a target's task waits is as good to know as that it waits.
func (s scene) filters() map[string]string {
	var names, ports, tasks, readers []string
	everywhere := false
	for _, target := range s.targets {
		everywhere = everywhere || len(target.Devs) == 0
		for _, device := range target.Devs {
			names = append(names, fmt.Sprintf("name == %q", device))
		}
	}
	for port := range s.ports {
		ports = append(ports, fmt.Sprintf("sport == %d || dport == %d", port, port))
	}
	for pid := range s.servers {
		tasks = append(tasks, fmt.Sprintf("pid == %d", pid))
		readers = append(readers, fmt.Sprintf("common_pid == %d", pid))
	}
	for pid := range s.probers {
		readers = append(readers, fmt.Sprintf("common_pid == %d", pid))
	}
	any := func(conditions []string) string { return strings.Join(conditions, " || ") }
	filters := map[string]string{SockReady: any(ports), Recv: any(readers), Waking: any(tasks), Wakeup: any(tasks)}
	short := fmt.Sprintf("len >= %d && len <= %d", shortest, longest)
	if !everywhere {
		short = fmt.Sprintf("%s && (%s)", short, any(names))
	}
	for _, kind := range []string{DevQueue, DevXmit, NetifRx, NetifReceive} {
		filters[kind] = short
	}
	return filters
}

// flow says which way a segment goes, of which prober's port and to or from which target.
func (s scene) flow(source, target netip.AddrPort) (dir string, port uint16, which int) {
	for i, one := range s.targets {
		asker := s.askers[one.Addr]
		switch {
		case target == one.Addr && source.Addr() == asker && s.ports[source.Port()]:
			return directions[1], source.Port(), i
		case source == one.Addr && target.Addr() == asker && s.ports[target.Port()]:
			return directions[2], target.Port(), i
		}
	}
	return "", 0, 0
}

// place says where a device is that a packet crosses: its network namespace and, where that is the probers', its
// number. Pods name theirs alike, so that a name alone does not tell.
func (s scene) place(device string, which int, atTarget bool) (uint32, int) {
	number, here := s.devices[device]
	devs := s.targets[which].Devs
	inside := !here
	for i, name := range devs {
		inside = inside || i > 0 && name == device && atTarget
	}
	if inside {
		return s.targets[which].NetNS, 0
	}
	return s.netns, number
}
