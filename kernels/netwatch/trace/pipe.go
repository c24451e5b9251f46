package trace

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pipe reads what one CPU wrote into an instance, as the pages that the kernel keeps it in
// (include/linux/ring_buffer.h): text would cost ten times as much.
type pipe struct {
	cpu     int
	folder  string
	fd      int
	page    []byte
	overrun uint64 // what the kernel had overwritten when it was read last
	until   int64  // the last event that was read
}

func openPipe(folder string) (*pipe, error) {
	cpu, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(folder), "cpu"))
	if err != nil {
		return nil, fmt.Errorf("ftrace has a CPU without a number: %s", folder)
	}
	fd, err := unix.Open(filepath.Join(folder, "trace_pipe_raw"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the events of CPU %d cannot be read: %w", cpu, err)
	}
	return &pipe{cpu: cpu, folder: folder, fd: fd, page: make([]byte, os.Getpagesize())}, nil
}

func (p *pipe) close() { unix.Close(p.fd) }

// read takes what there is and gives each event to use. Lost is how many were overwritten since the last time, and
// from and to between which times they happened.
func (p *pipe) read(use func(t int64, data []byte)) (lost uint64, from, to int64) {
	from, to = p.until, 0
	for {
		n, err := unix.Read(p.fd, p.page)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		decodePage(p.page[:n], func(t int64, data []byte) {
			if to == 0 {
				to = t
			}
			p.until = t
			use(t, data)
		})
	}
	overrun := p.overruns()
	lost, p.overrun = overrun-p.overrun, overrun
	return lost, from, to
}

func (p *pipe) overruns() uint64 {
	stats, _ := os.ReadFile(filepath.Join(p.folder, "stats"))
	for _, line := range strings.Split(string(stats), "\n") {
		if count, ok := strings.CutPrefix(line, "overrun: "); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(count), 10, 64)
			return n
		}
	}
	return 0
}

// decodePage goes through a page: a time, a length, then events with the time since the one before.
func decodePage(page []byte, use func(t int64, data []byte)) {
	const (
		header             = 16
		padding            = 29
		timeExtend         = 30
		timeStamp          = 31
		lengthBits, length = 5, 1<<5 - 1
		flags              = 3 << 30 // events were missed before this page
	)
	n := binary.NativeEndian
	if len(page) < header {
		return
	}
	t := int64(n.Uint64(page))
	end := min(header+int(n.Uint64(page[8:])&^uint64(flags)&0xffffffff), len(page))
	for at := header; at+4 <= end; {
		word := n.Uint32(page[at:])
		kind, delta := int(word&length), int64(word>>lengthBits)
		at += 4
		switch {
		case kind == padding:
			if delta == 0 { // the rest of the page
				return
			}
			t += delta
			at += int(n.Uint32(page[at:]))
		case kind == timeExtend:
			t += int64(n.Uint32(page[at:]))<<27 + delta
			at += 4
		case kind == timeStamp:
			// The highest bits stay as they are.
			t = t&^(1<<59-1) | int64(n.Uint32(page[at:]))<<27 | delta
			at += 4
		default:
			size := kind * 4
			if kind == 0 { // longer than the few bits tell; the length counts itself
				size = int(n.Uint32(page[at:])) - 4
				at += 4
			}
			t += delta
			if at+size > end {
				return
			}
			use(t, page[at:at+size])
			at += size
		}
	}
}
