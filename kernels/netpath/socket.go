package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	bufferBytes = 4 << 20 // asked for; the kernel gives what net.core.rmem_max allows
	controlSize = 256
	marksAtOnce = 32
	leavingSize = 24 // CMSG_SPACE of 4 bytes, which is no constant for Go

	arrivingFlags = unix.SOF_TIMESTAMPING_SOFTWARE | unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_OPT_TSONLY
	numberedFlags = arrivingFlags | unix.SOF_TIMESTAMPING_OPT_ID
	leavingFlags  = uint32(unix.SOF_TIMESTAMPING_TX_SCHED | unix.SOF_TIMESTAMPING_TX_SOFTWARE)

	originTimestamping = 4 // SO_EE_ORIGIN_TIMESTAMPING
	markSent           = 0 // SCM_TSTAMP_SND: the driver took it
	markScheduled      = 1 // SCM_TSTAMP_SCHED: it entered the queueing discipline
)

// socket is one for UDP whose packets the kernel stamps with its own time, on their way out and in.
type socket struct {
	fd      int
	number  uint32 // of the next packet that leaves and is not plain, as the kernel counts (OPT_ID)
	peer    unix.RawSockaddrInet6
	control [controlSize]byte
	leaving [leavingSize]byte // asks the kernel to stamp the packet that is sent
	marks   [marksAtOnce]message
	space   [marksAtOnce][controlSize]byte
}

type message struct {
	header unix.Msghdr
	length uint32
}

// mark is when a packet that left passed a place in the kernel, in nanoseconds since the epoch.
type mark struct {
	number uint32
	place  uint32
	at     int64
}

// arrival is one packet that was read: when it reached this kernel (nanoseconds since the epoch, 0 unknown), and how
// many the socket has dropped for want of room since it was opened, as far as is known.
type arrival struct {
	length  int
	at      int64
	dropped uint32
}

func openSocket(family int) (*socket, error) {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return nil, fmt.Errorf("no UDP socket: %w", err)
	}
	s := &socket{fd: fd}
	for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, bufferBytes)
	}
	if err := s.renumber(); err != nil {
		_ = unix.Close(fd)
		return nil, endingf(exitUnmarked, "this kernel gives no timestamps of packets (SO_TIMESTAMPING): %v", err)
	}
	// Without it overflows would be taken for losses of the network.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("this kernel does not count what a full socket drops (SO_RXQ_OVFL): %w", err)
	}
	for index := range s.marks {
		s.marks[index].header.Control = &s.space[index][0]
	}
	header := (*unix.Cmsghdr)(unsafe.Pointer(&s.leaving[0]))
	header.Level, header.Type = unix.SOL_SOCKET, unix.SO_TIMESTAMPING
	header.SetLen(unix.CmsgLen(4))
	binary.NativeEndian.PutUint32(s.leaving[unix.CmsgLen(0):], leavingFlags)
	return s, nil
}

// renumber has the kernel count packets from 0 again: whether one that could not be sent was counted depends on where
// it failed, and on the kernel.
func (s *socket) renumber() error {
	s.number = 0
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, arrivingFlags); err != nil {
		return err
	}
	return unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, numberedFlags)
}

func (s *socket) close() { _ = unix.Close(s.fd) }

// dial opens a socket for one peer.
func dial(address string, port int) (*socket, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return nil, err
	}
	family, peer := sockaddr(ip, port)
	s, err := openSocket(family)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(s.fd, peer); err != nil {
		s.close()
		return nil, endingf(exitSilent, "there is no way to %s: %v", address, err)
	}
	return s, nil
}

func sockaddr(ip netip.Addr, port int) (int, unix.Sockaddr) {
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: ip.As16()}
}

// listen opens a socket for both families, or for IPv4 where there is no IPv6.
func listen(port int) (*socket, error) {
	s, err := openSocket(unix.AF_INET6)
	if err == nil {
		_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
		err = unix.Bind(s.fd, &unix.SockaddrInet6{Port: port})
		if err != nil {
			s.close()
		}
	}
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		if s, err = openSocket(unix.AF_INET); err == nil {
			if err = unix.Bind(s.fd, &unix.SockaddrInet4{Port: port}); err != nil {
				s.close()
			}
		}
	}
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, endingf(exitTaken, "UDP port %d is in use here", port)
	}
	return s, err
}

// limitReads has receive wait up to so many nanoseconds for a packet.
func (s *socket) limitReads(nanos int64) error {
	limit := unix.NsecToTimeval(nanos)
	return unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
}

// receive reads one packet, and keeps its sender as the peer that reply answers.
func (s *socket) receive(into packet) (arrival, unix.Errno) {
	buffer := unix.Iovec{Base: &into[0], Len: uint64(len(into))}
	header := unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(&s.peer)), Namelen: unix.SizeofSockaddrInet6, Iov: &buffer, Iovlen: 1,
		Control: &s.control[0], Controllen: controlSize,
	}
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&header)), 0)
	if errno != 0 {
		return arrival{}, errno
	}
	got := arrival{length: int(n)}
	eachControl(s.control[:header.Controllen], func(level, kind int32, data []byte) {
		switch {
		case level == unix.SOL_SOCKET && kind == unix.SO_TIMESTAMPING:
			got.at = nanoseconds(data)
		case level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL:
			got.dropped = binary.NativeEndian.Uint32(data)
		}
	})
	return got, 0
}

// send sends to the peer that the socket is connected to, and returns the kernel's number for it, which a plain packet
// does not have.
func (s *socket) send(p packet) (uint32, unix.Errno) { return s.sendTo(p, nil, 0) }

// reply sends to whom the last packet came from.
func (s *socket) reply(p packet) (uint32, unix.Errno) {
	return s.sendTo(p, unsafe.Pointer(&s.peer), unix.SizeofSockaddrInet6)
}

func (s *socket) sendTo(p packet, name unsafe.Pointer, size uint32) (uint32, unix.Errno) {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	if p.plain() {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
			flags, uintptr(name), uintptr(size))
		return 0, errno
	}
	buffer := unix.Iovec{Base: &p[0], Len: uint64(len(p))}
	header := unix.Msghdr{
		Name: (*byte)(name), Namelen: size, Iov: &buffer, Iovlen: 1, Control: &s.leaving[0], Controllen: leavingSize,
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&header)), flags)
	if errno != 0 {
		return 0, errno
	}
	s.number++
	return s.number - 1, 0
}

// drain hands over all marks of packets that left which the kernel has by now.
func (s *socket) drain(take func(mark)) {
	for {
		for index := range s.marks {
			s.marks[index].header.Controllen = controlSize
		}
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.marks[0])), marksAtOnce,
			unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			return
		}
		for index := range s.marks[:n] {
			if m, good := readMark(s.space[index][:s.marks[index].header.Controllen]); good {
				take(m)
			}
		}
		if n < marksAtOnce {
			return
		}
	}
}

func readMark(control []byte) (mark, bool) {
	found, stamped := mark{}, false
	eachControl(control, func(level, kind int32, data []byte) {
		switch {
		case level == unix.SOL_SOCKET && kind == unix.SO_TIMESTAMPING:
			found.at = nanoseconds(data)
		case level == unix.SOL_IP && kind == unix.IP_RECVERR, level == unix.SOL_IPV6 && kind == unix.IPV6_RECVERR:
			// struct sock_extended_err: errno, origin, type, code, pad, info, data
			stamped = data[4] == originTimestamping
			found.place, found.number = binary.NativeEndian.Uint32(data[8:]), binary.NativeEndian.Uint32(data[12:])
		}
	})
	return found, stamped && found.at != 0
}

func eachControl(control []byte, take func(level, kind int32, data []byte)) {
	for len(control) >= unix.SizeofCmsghdr {
		header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		end := int(header.Len)
		if end < unix.SizeofCmsghdr || end > len(control) {
			return
		}
		take(header.Level, header.Type, control[unix.CmsgLen(0):end])
		control = control[min(unix.CmsgSpace(end-unix.CmsgLen(0)), len(control)):]
	}
}

// nanoseconds reads the first of the three times of struct scm_timestamping, which is the kernel's own.
func nanoseconds(data []byte) int64 {
	return int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:]))
}
