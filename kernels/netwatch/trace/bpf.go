package trace

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

var (
	//go:embed bpf/watch.btf.o
	typedPrograms []byte
	//go:embed bpf/watch.raw.o
	rawPrograms []byte
)

// sights says which kinds of event each program gives.
var sights = map[string][]string{
	"dev_queue":     {DevQueue},
	"qdisc_enqueue": {QdiscEnqueue},
	"qdisc_dequeue": {QdiscDequeue},
	"dev_xmit":      {DevXmit},
	"netif_rx":      {NetifRx},
	"netif_receive": {NetifReceive},
	"sock_ready":    {SockReady},
	"recv":          {Recv},
	"drop":          {Drop},
	"waking":        {Waking},
	"wakeup":        {Wakeup},
	"switched":      {SwitchIn, SwitchOut},
}

// nothing is the program that does nothing.
const nothing = "nothing"

type bpfSource struct {
	kernel   *kernelTypes
	offers   Facilities
	points   map[string]string // tracepoints of the programs
	programs *ebpf.Collection
	links    []link.Link
	recorder *recorder
	shared   sharing
	reading  sync.Mutex
}

func openBPF(source string, opts Options) (_ Source, err error) {
	kernel, err := readKernelTypes()
	if err != nil {
		return nil, err
	}
	s := &bpfSource{kernel: kernel}
	s.offers = Facilities{Source: source, Missing: map[string]string{}, Kernel: kernelRelease()}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("the CPUs cannot be counted: %w", err)
	}
	places := placesFor(opts.Bytes, cpus)
	if err = s.load(source, cpus, places); err != nil {
		return nil, err
	}
	if s.recorder, err = newRecorder(s.programs, places); err != nil {
		return nil, err
	}
	if s.shared, err = share(s.programs); err != nil {
		return nil, err
	}
	if err = s.attach(); err != nil {
		return nil, err
	}
	return s, nil
}

// load loads the programs and finds their tracepoints.
func (s *bpfSource) load(source string, cpus int, places uint64) error {
	object := typedPrograms
	if source == SourceRaw {
		object = rawPrograms
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return fmt.Errorf("the programs cannot be read: %w", err)
	}
	s.points = map[string]string{nothing: spec.Programs[nothing].AttachTo}
	for name := range sights {
		s.points[name] = spec.Programs[name].AttachTo
		if s.kernel.arguments(s.points[name]) == 0 {
			s.miss(name, "the kernel has no tracepoint "+s.points[name])
			delete(spec.Programs, name)
		}
	}
	spec.Maps["waiting"].MaxEntries = uint32(cpus)
	spec.Maps["current"].MaxEntries = uint32(cpus)
	spec.Maps["events"].MaxEntries = uint32(uint64(cpus) * places)
	processes, err := node.Inode("/proc/self/ns/pid")
	if err != nil {
		return fmt.Errorf("the namespace of processes is unknown: %w", err)
	}
	err = errors.Join(
		spec.Variables["has_state"].Set(s.kernel.arguments("sched_switch") > 3),
		spec.Variables["processes"].Set(processes),
		spec.Variables["mask"].Set(uint32(places-1)),
		spec.Variables["has_reason"].Set(s.kernel.arguments("kfree_skb") > 2),
	)
	if err != nil {
		return err
	}
	if s.programs, err = ebpf.NewCollection(spec); errors.Is(err, unix.EPERM) {
		return errors.New("programs may not be loaded: CAP_BPF and CAP_PERFMON are needed")
	} else if err != nil {
		return fmt.Errorf("the programs cannot be loaded: %w", err)
	}
	return nil
}

func (s *bpfSource) attachOne(name string) (link.Link, error) {
	program := s.programs.Programs[name]
	if s.offers.Source == SourceBTF {
		return link.AttachTracing(link.TracingOptions{Program: program})
	}
	return link.AttachRawTracepoint(link.RawTracepointOptions{Name: s.points[name], Program: program})
}

func (s *bpfSource) attach() error {
	for _, name := range slices.Sorted(maps.Keys(s.programs.Programs)) {
		if name == nothing {
			continue
		}
		made, err := s.attachOne(name)
		if err != nil {
			s.miss(name, fmt.Sprintf("the tracepoint %s: %v", s.points[name], err))
			continue
		}
		s.links = append(s.links, made)
		s.offers.Events = append(s.offers.Events, sights[name]...)
	}
	if len(s.links) == 0 {
		return fmt.Errorf("no program can be attached: %v", s.offers.Missing)
	}
	slices.Sort(s.offers.Events)
	return nil
}

func (s *bpfSource) miss(program, why string) {
	for _, kind := range sights[program] {
		s.offers.Missing[kind] = why
	}
}

func (s *bpfSource) Window(from, to int64) []Event {
	s.reading.Lock()
	defer s.reading.Unlock()
	records, err := s.recorder.between(from, to)
	if err != nil {
		s.recorder.lost++
		return nil
	}
	events := make([]Event, len(records))
	for i, one := range records {
		events[i] = one.event(s.kernel)
	}
	return inOrder(events)
}

func (s *bpfSource) Lost() uint64 {
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.recorder.lost
}

func (s *bpfSource) Ask(n int) { s.shared.ask(n) }

func (s *bpfSource) Reader(n int) Reader { return s.shared.reader(n) }

// Cost lets the kernel time the programs for a while, and leaves out what that itself takes: most of what a program that
// lets everything go seems to take. One that does nothing is timed beside them to tell how much that is.
func (s *bpfSource) Cost(long time.Duration) (float64, bool) {
	counting, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return 0, false
	}
	defer counting.Close()
	idle, err := s.attachOne(nothing)
	if err != nil {
		return 0, false
	}
	defer idle.Close()
	before, began := s.stats(), time.Now()
	time.Sleep(long)
	after, took := s.stats(), time.Since(began)
	spent := func(name string) (time.Duration, uint64) {
		return after[name].Runtime - before[name].Runtime, after[name].RunCount - before[name].RunCount
	}
	timing, runs := spent(nothing)
	var total float64
	for name := range sights {
		runtime, count := spent(name)
		total += max(0, float64(runtime)-float64(count)*float64(timing)/float64(max(runs, 1)))
	}
	return total / float64(took), true
}

func (s *bpfSource) stats() map[string]ebpf.ProgramStats {
	found := map[string]ebpf.ProgramStats{}
	for name, program := range s.programs.Programs {
		if stats, err := program.Stats(); err == nil {
			found[name] = *stats
		}
	}
	return found
}

func (s *bpfSource) Facilities() Facilities { return s.offers }

func (s *bpfSource) Close() error { return s.release() }

// release ends the programs: nothing is pinned, so that they go with the last descriptor.
func (s *bpfSource) release() error {
	var failed []error
	for _, one := range s.links {
		failed = append(failed, one.Close())
	}
	failed = append(failed, s.shared.close())
	if s.programs != nil {
		s.programs.Close()
	}
	return errors.Join(failed...)
}
