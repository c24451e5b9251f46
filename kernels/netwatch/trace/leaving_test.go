package trace

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// programs counts the kernel's BPF programs by name.
func programs(t *testing.T) map[string]int {
	names := map[string]int{}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if err != nil {
			return names
		}
		id = next
		if one, err := ebpf.NewProgramFromID(id); err == nil {
			info, err := one.Info()
			must(t, err)
			names[info.Name]++
			one.Close()
		}
	}
}

// settled are the programs once those of the test before are gone: the kernel frees them when all CPUs have left them.
func settled(t *testing.T) map[string]int {
	before := programs(t)
	for range 20 {
		time.Sleep(500 * time.Millisecond)
		now := programs(t)
		if maps.Equal(now, before) {
			break
		}
		before = now
	}
	return before
}

func TestCloseLeavesNothing(t *testing.T) {
	for _, name := range all {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			before := settled(t)
			instances, err := Leftovers(false)
			must(t, err)
			source, err := Open(Options{Force: name})
			must(t, err)
			way, _ := b.connect(source)
			b.probe(way)
			during, err := Leftovers(false)
			must(t, err)
			if maps.Equal(programs(t), before) && slices.Equal(instances, during) {
				t.Error("nothing was there to leave")
			}
			must(t, source.Close())
			for range 100 { // the kernel frees programs when all CPUs have left them
				after, err := Leftovers(false)
				must(t, err)
				if maps.Equal(programs(t), before) && slices.Equal(instances, after) {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("programs %v, before %v", programs(t), before)
		})
	}
}

func TestLeftoversAreFoundAndRemoved(t *testing.T) {
	left, err := newInstance(4096)
	if err != nil {
		t.Skip(err)
	}
	name := left.folder[strings.LastIndex(left.folder, "/")+1:]
	if _, err := Leftovers(true); err == nil {
		t.Error("an instance that somebody reads was removed")
	}
	for _, one := range left.pipes { // as if its process had been killed
		one.close()
	}
	left.done()
	names, err := Leftovers(true)
	if err != nil && !errors.Is(err, unix.EBUSY) { // there may be others, in use
		t.Fatal(err)
	}
	if !slices.Contains(names, name) {
		t.Errorf("%v lacks %s", names, name)
	}
	if names, err = Leftovers(false); err != nil || slices.Contains(names, name) {
		t.Errorf("%s is still there: %v %v", name, names, err)
	}
}

func TestASourceThatDoesNotExistIsSaid(t *testing.T) {
	_, err := Open(Options{Force: "kprobe"})
	if err == nil || !strings.Contains(fmt.Sprint(err), "expected tp_btf, raw_tp or ftrace") {
		t.Error(err)
	}
}
