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
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
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

// The ring is read this often when nobody asks. The programs wake nobody up: that would cost more than they do.
const readEvery = 20 * time.Millisecond

type bpfSource struct {
	kernel   *kernelTypes
	offers   Facilities
	programs *ebpf.Collection
	links    []link.Link
	reader   *ringbuf.Reader
	kept     *ring[record]
	reading  sync.Mutex
	stop     chan struct{}
	stopped  chan struct{}
}

func openBPF(source string, opts Options) (_ Source, err error) {
	kernel, err := readKernelTypes()
	if err != nil {
		return nil, err
	}
	s := &bpfSource{kernel: kernel, kept: newRing[record](opts.Keep), stop: make(chan struct{}), stopped: make(chan struct{})}
	s.offers = Facilities{Source: source, Missing: map[string]string{}, Kernel: kernelRelease()}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	points, err := s.load(source, opts.Bytes)
	if err != nil {
		return nil, err
	}
	if err = s.attach(source, points); err != nil {
		return nil, err
	}
	if s.reader, err = ringbuf.NewReader(s.programs.Maps["events"]); err != nil {
		return nil, fmt.Errorf("the programs' events cannot be read: %w", err)
	}
	s.reader.SetDeadline(time.Unix(1, 0)) // in the past: reading takes what is there and waits for nothing
	go s.keepReading()
	return s, nil
}

// load loads the programs and gives their tracepoints.
func (s *bpfSource) load(source string, size int) (map[string]string, error) {
	object := typedPrograms
	if source == SourceRaw {
		object = rawPrograms
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("the programs cannot be read: %w", err)
	}
	points := map[string]string{}
	for name := range sights {
		points[name] = spec.Programs[name].AttachTo
		if s.kernel.arguments(points[name]) == 0 {
			s.miss(name, "the kernel has no tracepoint "+points[name])
			delete(spec.Programs, name)
		}
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("the CPUs cannot be counted: %w", err)
	}
	spec.Maps["waiting"].MaxEntries = uint32(cpus)
	spec.Maps["current"].MaxEntries = uint32(cpus)
	spec.Maps["events"].MaxEntries = uint32(size)
	err = errors.Join(
		spec.Variables["has_state"].Set(s.kernel.arguments("sched_switch") > 3),
		spec.Variables["has_reason"].Set(s.kernel.arguments("kfree_skb") > 2),
	)
	if err != nil {
		return nil, err
	}
	if s.programs, err = ebpf.NewCollection(spec); errors.Is(err, unix.EPERM) {
		return nil, errors.New("programs may not be loaded: CAP_BPF and CAP_PERFMON are needed")
	} else if err != nil {
		return nil, fmt.Errorf("the programs cannot be loaded: %w", err)
	}
	return points, nil
}

func (s *bpfSource) attach(source string, points map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(s.programs.Programs)) {
		program := s.programs.Programs[name]
		var made link.Link
		var err error
		if source == SourceBTF {
			made, err = link.AttachTracing(link.TracingOptions{Program: program})
		} else {
			made, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: points[name], Program: program})
		}
		if err != nil {
			s.miss(name, fmt.Sprintf("the tracepoint %s: %v", points[name], err))
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

func (s *bpfSource) keepReading() {
	defer close(s.stopped)
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.read()
		}
	}
}

func (s *bpfSource) read() {
	s.reading.Lock()
	defer s.reading.Unlock()
	var sample ringbuf.Record
	for s.reader.ReadInto(&sample) == nil {
		s.kept.add(decode(sample.RawSample))
	}
}

func (s *bpfSource) Window(from, to int64) []Event {
	s.read()
	var events []Event
	s.reading.Lock()
	defer s.reading.Unlock()
	for one := range s.kept.between(from, to) {
		events = append(events, one.event(s.kernel))
	}
	return inOrder(events)
}

func (s *bpfSource) Lost() uint64 {
	s.reading.Lock()
	lost := s.kept.lost
	s.reading.Unlock()
	var each []uint64
	if s.programs.Maps["lost"].Lookup(uint32(0), &each) == nil {
		for _, n := range each {
			lost += n
		}
	}
	return lost
}

func (s *bpfSource) Facilities() Facilities { return s.offers }

func (s *bpfSource) Close() error {
	close(s.stop)
	<-s.stopped
	return s.release()
}

// release ends the programs: nothing is pinned, so that they go with the last descriptor.
func (s *bpfSource) release() error {
	var failed []error
	for _, one := range s.links {
		failed = append(failed, one.Close())
	}
	if s.reader != nil {
		failed = append(failed, s.reader.Close())
	}
	if s.programs != nil {
		s.programs.Close()
	}
	return errors.Join(failed...)
}
