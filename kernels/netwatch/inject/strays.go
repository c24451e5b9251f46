package inject

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/topology"
	"perfrun.dev/netwatch/trace"
)

// strays looks for what bears our name and is in no journal.
func (s *Swept) strays() {
	links, err := netlink.LinkList()
	if err != nil {
		s.Left = append(s.Left, Thing{Kind: "devices", Message: err.Error()})
	}
	for _, link := range links {
		about := link.Attrs()
		s.stray(TBF, about.Name, seeTBF(about.Index), func() error {
			return removeTBF(Record{Ifindex: about.Index, Device: about.Name, MTU: about.MTU})
		})
		// Whether the classifier's place was there before is not known: it is left, as an empty one does nothing.
		s.stray(Drop, about.Name, seeDrop(about.Index), func() error { return removeDrop(about.Index, false) })
	}
	spaces, err := topology.Read(nil)
	if err != nil {
		s.Left = append(s.Left, Thing{Kind: "namespaces", Message: err.Error()})
	}
	for _, space := range spaces.Spaces {
		s.stray(NFQueue, fmt.Sprintf("pod %s", space.IP), within(space.NetNS, seeTable), func() error { return within(space.NetNS, removeTable) })
	}
	s.instances()
}

// instances are those of ftrace. One that cannot be removed is in use, by a watch that makes no spikes.
func (s *Swept) instances() {
	before, err := trace.Leftovers(true)
	if errors.Is(err, unix.EBUSY) {
		err = nil
	}
	after, unseen := trace.Leftovers(false)
	for _, each := range before {
		if !slices.Contains(after, each) {
			s.Found = append(s.Found, Thing{Kind: "tracing", Where: each})
		}
	}
	if err := errors.Join(err, unseen); err != nil {
		s.Left = append(s.Left, Thing{Kind: "tracing", Message: err.Error()})
	}
}

// stray removes a thing that was seen, and says where that did not succeed.
func (s *Swept) stray(kind, where string, seen error, remove func() error) {
	if seen == nil {
		return
	}
	s.Found = append(s.Found, Thing{Kind: kind, Where: where, Message: seen.Error()})
	if err := remove(); err != nil {
		s.Left = append(s.Left, Thing{Kind: kind, Where: where, Message: err.Error()})
	}
}
