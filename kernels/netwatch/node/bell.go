package node

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bell wakes a thread that waits for it or for a moment. Go's timers and channels would do the same by way of two or three
// other threads, each of which takes a processor from whoever has it.
type Bell struct{ fd int }

// NewBell makes one that was not rung.
func NewBell() (*Bell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &Bell{fd}, nil
}

// Ring wakes who waits, or else who waits next.
func (b *Bell) Ring() {
	one := uint64(1)
	// It fails only where it was rung 2⁶⁴ times and nobody came.
	_, _ = unix.Write(b.fd, unsafe.Slice((*byte)(unsafe.Pointer(&one)), 8))
}

// Wait returns when it was rung since the last time, or at until (CLOCK_MONOTONIC), or before for no reason.
func (b *Bell) Wait(until int64) {
	left := unix.NsecToTimespec(max(0, until-Now()))
	if n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(b.fd), Events: unix.POLLIN}}, &left, nil); n > 0 && err == nil {
		var rung [8]byte
		_, _ = unix.Read(b.fd, rung[:])
	}
}

// Close gives it back.
func (b *Bell) Close() { _ = unix.Close(b.fd) }
