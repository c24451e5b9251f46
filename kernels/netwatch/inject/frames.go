package inject

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// frames are sent on a device for the sake of their length: their type is one for experiments, which nobody takes.
type frames struct {
	fd      int
	ifindex int
}

const experimental = 0x88b5

func openFrames(ifindex int) (*frames, error) {
	// Without a protocol the socket receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("a raw socket: %w", err)
	}
	return &frames{fd, ifindex}, nil
}

func (f *frames) send(payload int) error {
	frame := make([]byte, header+payload)
	// A locally administered address that no device here has.
	copy(frame, []byte{0x02, 0x70, 0x72, 0x75, 0x6e, 0x01, 0x02, 0x70, 0x72, 0x75, 0x6e, 0x02, experimental >> 8, experimental & 0xff})
	return unix.Sendto(f.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: f.ifindex})
}

func (f *frames) close() { _ = unix.Close(f.fd) }

// deviceOf writes down the node's end of the pod's veth.
func deviceOf(target Target, record *Record) error {
	space := target.Space
	if target.Host {
		return refuse("HostNetwork", "pod %s shares the node's network: its packets cannot be told from the node's", target.IP)
	}
	if space.Ifindex == 0 {
		return refuse("NoVeth", "no veth of the node leads to pod %s", target.IP)
	}
	record.Node, record.NetNS, record.Ifindex, record.Device, record.MTU = target.Node, space.NetNS, space.Ifindex, space.Device, space.MTU
	return nil
}
