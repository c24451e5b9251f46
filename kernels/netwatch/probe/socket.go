package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// connection is one TCP connection to the target, never blocking.
type connection struct {
	fd        int
	port      uint16
	connected bool
}

// dial begins to connect. The port is known, and told, before the first packet leaves.
func dial(to netip.AddrPort, told func(port uint16)) (*connection, error) {
	family, local, remote := addresses(to)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("no socket: %w", err)
	}
	c := &connection{fd: fd}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	// Without the kernel's time of arrival, a late prober cannot tell itself from a late answer: it then judges by
	// the time at which it read.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, unix.SOF_TIMESTAMPING_RX_SOFTWARE|unix.SOF_TIMESTAMPING_SOFTWARE)
	if err := unix.Bind(fd, local); err != nil {
		c.close()
		return nil, fmt.Errorf("no local port: %w", err)
	}
	if name, err := unix.Getsockname(fd); err == nil {
		switch at := name.(type) {
		case *unix.SockaddrInet4:
			c.port = uint16(at.Port)
		case *unix.SockaddrInet6:
			c.port = uint16(at.Port)
		}
	}
	told(c.port)
	if err := unix.Connect(fd, remote); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		c.close()
		return nil, fmt.Errorf("%s does not accept connections: %w", to, err)
	}
	return c, nil
}

func addresses(to netip.AddrPort) (family int, local, remote unix.Sockaddr) {
	if ip := to.Addr().Unmap(); ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{}, &unix.SockaddrInet4{Port: int(to.Port()), Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{}, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
}

// made says whether the connection is there, or the error with which connecting ended.
func (c *connection) made() (bool, error) {
	code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return false, err
	}
	if code != 0 {
		return false, unix.Errno(code)
	}
	_, err = unix.Getpeername(c.fd)
	return err == nil, nil
}

func (c *connection) close() { _ = unix.Close(c.fd) }

// timed is room for what a read returns beside the data, and the clocks by which arrivals are told.
type timed struct {
	control [128]byte
	vector  unix.Iovec
	message unix.Msghdr
}

// read takes what is there; arrived is when the kernel received the last of it (CLOCK_MONOTONIC, 0: unknown).
func (t *timed) read(fd int, into []byte) (n int, arrived int64, errno unix.Errno) {
	t.vector.Base, t.vector.Len = &into[0], uint64(len(into))
	t.message = unix.Msghdr{Iov: &t.vector, Iovlen: 1, Control: &t.control[0], Controllen: uint64(len(t.control))}
	got, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&t.message)), 0)
	if errno != 0 {
		return 0, 0, errno
	}
	return int(got), t.arrived(), 0
}

// arrived turns the time stamp, of the clock that may be set, into one of the clock that may not.
func (t *timed) arrived() int64 {
	const header = 16 // struct cmsghdr
	for rest := t.control[:t.message.Controllen]; len(rest) >= header+16; {
		about := (*unix.Cmsghdr)(unsafe.Pointer(&rest[0]))
		if about.Level == unix.SOL_SOCKET && about.Type == unix.SO_TIMESTAMPING {
			stamp := (*unix.Timespec)(unsafe.Pointer(&rest[header]))
			if stamp.Nano() == 0 {
				return 0
			}
			return node.Now() - (time.Now().UnixNano() - stamp.Nano())
		}
		size := (int(about.Len) + 7) &^ 7
		if size < header || size > len(rest) {
			return 0
		}
		rest = rest[size:]
	}
	return 0
}

// sleep, read and write are calls that Go's scheduler knows of. It would else take this thread, which it never sees do
// anything else, to be running for ever, and have it wait for another to give its place back: an ordinary thread, that
// may itself be waiting for a processor, just when it is that which is to be noticed.
func sleep(until int64) {
	at := unix.NsecToTimespec(until)
	_, _, _ = unix.Syscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
}

func write(fd int, data []byte) unix.Errno {
	n, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)), unix.MSG_NOSIGNAL, 0, 0)
	if errno == 0 && int(n) < len(data) {
		return unix.EAGAIN
	}
	return errno
}
