package trace

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// mostTargets is how many have a bit of their own: more of them share, and the first answer closes for all that do.
const mostTargets = 64

// shared is that of bpf/event.h.
type shared struct {
	open    uint64
	readers [mostTargets]struct{ task, here uint32 }
}

// sharing is the memory that the programs and the probers' threads both use, so that neither asks the other.
type sharing struct {
	*shared
	mapped []byte
}

func share(programs *ebpf.Collection) (sharing, error) {
	kept := programs.Maps[".data.shared"]
	page := os.Getpagesize()
	size := (int(unsafe.Sizeof(shared{})) + page - 1) / page * page
	mapped, err := unix.Mmap(kept.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return sharing{}, fmt.Errorf("the programs' memory cannot be shared: %w", err)
	}
	return sharing{(*shared)(unsafe.Pointer(&mapped[0])), mapped}, nil
}

func (s *sharing) close() error {
	if s.mapped == nil {
		return nil
	}
	return unix.Munmap(s.mapped)
}

// ask opens the record for a target's sake, until its answer comes.
func (s *sharing) ask(n int) { atomic.OrUint64(&s.open, 1<<(n%mostTargets)) }

// shut closes it, where nothing is watched any more.
func (s *sharing) shut() { atomic.StoreUint64(&s.open, 0) }

func (s *sharing) reader(n int) Reader {
	if n >= mostTargets {
		return Reader{}
	}
	last := &s.readers[n]
	return Reader{int(atomic.LoadUint32(&last.task)), int(atomic.LoadUint32(&last.here))}
}
