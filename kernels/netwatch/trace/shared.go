package trace

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// mostTargets is how many have a bit of their own: more of them share, and the first answer closes for all that do.
const mostTargets = 64

// life and shared are those of bpf/event.h.
type life struct {
	at            int64
	ifindex, port uint32
}

type shared struct {
	open    uint64
	lives   [mostTargets]life
	readers [mostTargets]uint32
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

// watch says which targets there are, and gives what the programs need to know of the devices that lead to them.
func (s *sharing) watch(targets []Target) (leads [8192]byte) {
	for n := range s.lives {
		life := &s.lives[n]
		life.ifindex, life.port = 0, 0
		if n >= len(targets) || targets[n].Ifindex == 0 {
			continue
		}
		var port [4]byte
		binary.BigEndian.PutUint16(port[:], targets[n].Addr.Port())
		life.ifindex, life.port = uint32(targets[n].Ifindex), binary.LittleEndian.Uint32(port[:])
		leads[targets[n].Ifindex&8191] = byte(n + 1)
	}
	if len(targets) == 0 {
		atomic.StoreUint64(&s.open, 0)
	}
	return leads
}

// ask opens the record for a target's sake, until its answer comes.
func (s *sharing) ask(n int) { atomic.OrUint64(&s.open, 1<<(n%mostTargets)) }

func (s *sharing) alive(n int) int64 {
	if n >= mostTargets {
		return 0
	}
	return atomic.LoadInt64(&s.lives[n].at)
}

func (s *sharing) reader(n int) int {
	if n >= mostTargets {
		return 0
	}
	return int(atomic.LoadUint32(&s.readers[n]))
}
