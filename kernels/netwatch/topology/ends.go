package topology

import (
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// ends are the veth devices of this process's network namespace, by the number that it has for the other end's.
//
// Indices alone do not tell which two ends belong together: every namespace counts for itself.
type ends struct {
	handle *netlink.Handle
	veths  map[int][]netlink.Link
}

func newEnds() (*ends, error) {
	handle, err := netlink.NewHandle()
	if err != nil {
		return nil, fmt.Errorf("no netlink: %w", err)
	}
	links, err := handle.LinkList()
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("the node's network devices are not seen: %w", err)
	}
	e := &ends{handle, map[int][]netlink.Link{}}
	for _, link := range links {
		if link.Type() == "veth" {
			e.veths[link.Attrs().NetNsID] = append(e.veths[link.Attrs().NetNsID], link)
		}
	}
	return e, nil
}

func (e *ends) close() { e.handle.Close() }

// own are the addresses of this process's namespace.
func (e *ends) own() []string { return addresses(e.handle, nil) }

// describe fills in what a look into the namespace tells; false: no device of this one leads there.
func (e *ends) describe(space *Space) bool {
	inside := open(space.PIDs)
	if inside < 0 {
		return false
	}
	defer inside.Close()
	handle, err := netlink.NewHandleAt(inside)
	if err != nil {
		return false
	}
	defer handle.Close()
	space.IPs = addresses(handle, space)
	number, err := e.handle.GetNetNsIdByFd(int(inside))
	if err != nil || number < 0 {
		return false
	}
	for _, link := range e.veths[number] {
		other, err := handle.LinkByIndex(link.Attrs().ParentIndex)
		if err != nil || other.Attrs().ParentIndex != link.Attrs().Index {
			continue
		}
		if space.Ifindex == 0 || other.Attrs().Name == "eth0" {
			space.Ifindex, space.Device = link.Attrs().Index, link.Attrs().Name
			space.Inside, space.MTU = other.Attrs().Name, link.Attrs().MTU
		}
	}
	return space.Ifindex != 0
}

// open opens the namespace through the first process that still lives.
func open(pids []int) netns.NsHandle {
	for _, pid := range pids {
		if inside, err := netns.GetFromPath(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil {
			return inside
		} else if !os.IsNotExist(err) {
			return -1
		}
	}
	return -1
}

func addresses(handle *netlink.Handle, space *Space) []string {
	found := []string{}
	list, err := handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return found
	}
	for _, each := range list {
		if each.IP.IsLoopback() || each.IP.IsLinkLocalUnicast() {
			continue
		}
		found = append(found, each.IP.String())
		if space != nil && space.IP == "" {
			space.IP = each.IP.String()
		}
	}
	return found
}
