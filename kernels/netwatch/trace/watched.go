package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"
)

// end and address are those of bpf/event.h, byte by byte as on the wire.
type address [16]byte

type end struct {
	Address address
	Port    [2]byte
	_       uint16
}

// askedBy is struct asked of bpf/event.h.
type askedBy struct {
	From   address
	Number uint32
}

func endOf(at netip.AddrPort) (e end) {
	e.Address = at.Addr().As16()
	binary.BigEndian.PutUint16(e.Port[:], at.Port())
	return e
}

// asker gives the address that a connection to target has on this side: another client may have the same port.
func asker(target netip.AddrPort) (netip.Addr, error) {
	if !target.IsValid() {
		return netip.Addr{}, errors.New("a target has no address")
	}
	// Nothing is sent: connecting UDP only asks the routes.
	way, err := net.Dial("udp", target.String())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("there is no way to the target %s: %w", target, err)
	}
	defer way.Close()
	return way.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

func (s *bpfSource) Watch(targets []Target, ports []uint16) error {
	ends, spaces := map[end]askedBy{}, map[uint32]uint8{}
	for n, target := range targets {
		from, err := asker(target.Addr)
		if err != nil {
			return err
		}
		ends[endOf(target.Addr)] = askedBy{from.As16(), uint32(n)}
		spaces[target.NetNS] = uint8(n % mostTargets)
	}
	if len(targets) == 0 {
		s.shared.shut()
	}
	var bits, maybe [8192]byte
	for space := range spaces {
		maybe[space>>3&8191] |= 1 << (space & 7)
	}
	for _, port := range ports {
		bits[port>>3] |= 1 << (port & 7)
	}
	return errors.Join(
		replace(s.programs.Maps["targets"], ends),
		replace(s.programs.Maps["spaces"], spaces),
		s.programs.Variables["ports"].Set(bits),
		s.programs.Variables["may_be"].Set(maybe),
	)
}

// replace makes a map of the kernel hold what it should, without a moment in which it lacks what stays.
func replace[K comparable, V any](kept *ebpf.Map, want map[K]V) error {
	for key, value := range want {
		if err := kept.Put(key, value); err != nil {
			return fmt.Errorf("the kernel's list of what to watch takes no more: %w", err)
		}
	}
	var key K
	var value V
	var stale []K
	for each := kept.Iterate(); each.Next(&key, &value); {
		if _, ok := want[key]; !ok {
			stale = append(stale, key)
		}
	}
	for _, key := range stale {
		if err := kept.Delete(key); err != nil {
			return fmt.Errorf("the kernel's list of what to watch keeps what is not watched: %w", err)
		}
	}
	return nil
}
