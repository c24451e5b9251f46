package trace

import (
	"fmt"
	"math/bits"

	"github.com/cilium/ebpf"
)

const (
	recordSize = 80
	// All CPUs together take no more, however many there are.
	mostRecorded = 64 << 20
	// Events of one CPU are in the order of time but for those that an interrupt wrote meanwhile.
	disorder = 1_000_000
	// Places that may be written anew while they are read.
	margin = 64
)

// recorder reads what the programs keep of each CPU's events: the newest ones, as many as there are places for.
type recorder struct {
	events  *ebpf.Memory
	written *ebpf.Map
	places  uint64 // of each CPU, a power of two
	lost    uint64
}

// placesFor says how many events each CPU can keep in size bytes, and all of them together in what is bearable.
func placesFor(size, cpus int) uint64 {
	size = min(size, mostRecorded/cpus)
	return 1 << (bits.Len(uint(max(size/recordSize, 2*margin))) - 1)
}

func newRecorder(programs *ebpf.Collection, places uint64) (*recorder, error) {
	memory, err := programs.Maps["events"].Memory()
	if err != nil {
		return nil, fmt.Errorf("the programs' events cannot be read: %w", err)
	}
	return &recorder{events: memory, written: programs.Maps["written"], places: places}, nil
}

// between gives the records of [from, to], CPU by CPU, and counts a CPU as lost whose oldest is younger than that.
func (r *recorder) between(from, to int64) ([]record, error) {
	var written, after []uint64
	if err := r.written.Lookup(uint32(0), &written); err != nil {
		return nil, fmt.Errorf("the programs' counts cannot be read: %w", err)
	}
	type numbered struct {
		record
		number uint64
	}
	found := make([][]numbered, len(written))
	reached := make([]bool, len(written)) // back to from, or to the first event of all
	var raw [recordSize]byte
	for cpu, next := range written {
		reached[cpu] = next <= r.places-margin
		oldest := next - min(next, r.places-margin)
		for number := next; number > oldest; number-- {
			place := uint64(cpu)*r.places + (number-1)&(r.places-1)
			if _, err := r.events.ReadAt(raw[:], int64(place*recordSize)); err != nil {
				return nil, fmt.Errorf("the programs' events cannot be read: %w", err)
			}
			one := decode(raw[:])
			if one.T != 0 && one.T < from-disorder {
				reached[cpu] = true
				break
			}
			if from <= one.T && one.T <= to {
				found[cpu] = append(found[cpu], numbered{one, number - 1})
			}
		}
	}
	if err := r.written.Lookup(uint32(0), &after); err != nil {
		return nil, fmt.Errorf("the programs' counts cannot be read: %w", err)
	}
	var records []record
	for cpu := range found {
		// What was written anew meanwhile is of another time.
		first := after[cpu] - min(after[cpu], r.places)
		for _, one := range found[cpu] {
			if one.number >= first {
				records = append(records, one.record)
			}
		}
		if !reached[cpu] {
			r.lost++
		}
	}
	return records, nil
}
