package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// bootDigest is the same on both sides where both run on one kernel.
func bootDigest() (int64, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0, fmt.Errorf("this kernel's boot cannot be told from others: %w", err)
	}
	sum := sha256.Sum256(id)
	return int64(binary.LittleEndian.Uint64(sum[:8])), nil
}

// path is what this side knows of the way to the peer.
type path struct {
	Address string `json:"address"`
	Device  string `json:"device"`
	MTU     int    `json:"mtu"`
}

func (s *socket) path() (path, error) {
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return path{}, err
	}
	var own netip.Addr
	level, option := unix.IPPROTO_IP, unix.IP_MTU
	switch at := name.(type) {
	case *unix.SockaddrInet4:
		own = netip.AddrFrom4(at.Addr)
	case *unix.SockaddrInet6:
		own, level, option = netip.AddrFrom16(at.Addr), unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	mtu, err := unix.GetsockoptInt(s.fd, level, option)
	if err != nil {
		return path{}, fmt.Errorf("the path's MTU cannot be read: %w", err)
	}
	return path{Address: own.String(), Device: deviceOf(own), MTU: mtu}, nil
}

func deviceOf(address netip.Addr) string {
	devices, _ := net.Interfaces()
	for _, device := range devices {
		addresses, _ := device.Addrs()
		for _, each := range addresses {
			if prefix, err := netip.ParsePrefix(each.String()); err == nil && prefix.Addr() == address {
				return device.Name
			}
		}
	}
	return ""
}
