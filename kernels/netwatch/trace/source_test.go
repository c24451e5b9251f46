package trace

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

var (
	all   = []string{SourceBTF, SourceRaw, SourceFtrace}
	gated = []string{SourceBTF, SourceRaw} // that record while a target is asked
)

// each runs a test with every source, in a test bed of its own.
func each(t *testing.T, options Options, test func(*testing.T, *bed, Source)) {
	with(t, all, options, test)
}

// with does that with some of them.
func with(t *testing.T, sources []string, options Options, test func(*testing.T, *bed, Source)) {
	for _, name := range sources {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			options.Force = name
			source, err := Open(options)
			must(t, err)
			t.Cleanup(func() { must(t, source.Close()) })
			test(t, b, source)
			if t.Failed() {
				for _, e := range source.Window(now()-1e8, now()) {
					t.Logf("%12.1f µs %+v", float64(e.T)/1e3, e)
				}
			}
		})
	}
}

// carrying are the packets with a payload that went one way.
func carrying(events []Event, dir string) (chosen []Event) {
	for _, e := range events {
		if e.Dir == dir && e.Len > 0 {
			chosen = append(chosen, e)
		}
	}
	return chosen
}

func kindsOf(events []Event) (kinds []string) {
	for _, e := range events {
		kinds = append(kinds, e.K)
	}
	return kinds
}

// eventually looks at all that happened since a moment until it shows what it should. What comes once would be missed by
// who looks at the last moments only, and has to wait for a CPU before it can.
func eventually(t *testing.T, source Source, since int64, what string, shows func([]Event) bool) {
	t.Helper()
	for range 300 {
		if shows(source.Window(since, now())) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("never seen: %s", what)
}

func run(t *testing.T, command string) {
	t.Helper()
	words := strings.Fields(command)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

func TestRequestAndReplyAreSeenAllTheWay(t *testing.T) {
	each(t, Options{}, func(t *testing.T, b *bed, source Source) {
		way, port := b.connect(source)
		b.probe(way)
		time.Sleep(5 * time.Millisecond)
		sent, answered := b.probe(way)
		events := source.Window(sent, answered)
		all := []string{DevQueue, DevXmit, NetifRx, NetifReceive, SockReady, Recv}
		node, pod := b.spaces[0], b.spaces[1]
		for dir, spaces := range map[string][]uint32{
			"request": {node, node, pod, pod, pod, pod}, "reply": {pod, pod, node, node, node, node},
		} {
			seen, want := carrying(events, dir), all
			if dir == "reply" && source.Facilities().Source != SourceFtrace {
				// With the reply at the prober's socket the others' record ends.
				want, spaces = want[:5], spaces[:5]
			}
			if got := kindsOf(seen); !slices.Equal(got, want) {
				t.Fatalf("%s: %v, expected %v", dir, got, want)
			}
			for i, e := range seen {
				if e.Port != port || e.NetNS != spaces[i] {
					t.Errorf("%+v: expected port %d and namespace %d", e, port, spaces[i])
				}
			}
			if length := map[string]int{"request": len(request), "reply": len(response)}[dir]; seen[0].Len != length {
				t.Errorf("the %s has %d bytes, expected %d", dir, seen[0].Len, length)
			}
		}
		if lost := source.Lost(); lost != 0 {
			t.Errorf("%d events were lost", lost)
		}
	})
}

func TestServersTaskIsWokenAndRuns(t *testing.T) {
	each(t, Options{}, func(t *testing.T, b *bed, source Source) {
		if runtime.NumCPU() < 2 {
			t.Skip("one CPU for the prober and one for the server are needed")
		}
		spinner := exec.Command("sh", "-c", "while :; do :; done")
		must(t, spinner.Start())
		defer func() { _ = spinner.Process.Kill(); _ = spinner.Wait() }()
		var one, two unix.CPUSet
		one.Set(0)
		two.Set(1)
		must(t, unix.SchedSetaffinity(0, &two)) // this thread, which ends with the test
		must(t, unix.SchedSetaffinity(spinner.Process.Pid, &one))
		must(t, unix.SchedSetaffinity(b.thread, &one))
		way, _ := b.connect(source)
		// Others run on that CPU too, so that not every probe finds the spinner there.
		for range 100 {
			sent, answered := b.probe(way)
			if waited(source.Window(sent, answered), b, spinner.Process.Pid) {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Error("the server was never seen to wait for the spinner")
	})
}

// waited says whether the server was woken, waited for CPU 0 and took it from another, which would have gone on.
func waited(events []Event, b *bed, from int) bool {
	var seen []string
	for _, e := range events {
		ours := e.PID == b.thread && e.NetNS == b.spaces[1]
		switch {
		case ours && e.K == Waking && e.PrevComm != "" && len(seen) == 0,
			ours && e.K == Wakeup && e.CPU == 0 && e.PrevPID == from && len(seen) == 1,
			ours && e.K == SwitchIn && e.CPU == 0 && e.PrevPID == from && e.PrevState == "R" && len(seen) == 2:
			seen = append(seen, e.K)
		}
	}
	return slices.Equal(seen, []string{Waking, Wakeup, SwitchIn})
}

func TestPacketInAQueueIsEnqueuedAndDequeuedLater(t *testing.T) {
	each(t, Options{}, func(t *testing.T, b *bed, source Source) {
		way, port := b.connect(source)
		run(t, "tc qdisc add dev vethpod root tbf rate 1kbit burst 150 limit 10000")
		b.probe(way) // this one finds tokens; the next one waits for a third of a second
		b.ask()
		since := now()
		_, err := way.Write([]byte(request))
		must(t, err)
		eventually(t, source, since, "a request that waits in the queue and leaves it", func(events []Event) bool {
			seen := carrying(events, "request")
			in := slices.IndexFunc(seen, func(e Event) bool { return e.K == QdiscEnqueue })
			if in < 0 || in+1 == len(seen) {
				return false
			}
			first, next := seen[in], seen[in+1]
			return first.Port == port && first.NetNS == b.spaces[0] && first.Ifindex == b.index &&
				next.K == QdiscDequeue && next.T-first.T > 1e8
		})
	})
}

func TestDroppedPacketSaysWhy(t *testing.T) {
	each(t, Options{}, func(t *testing.T, b *bed, source Source) {
		way, port := b.connect(source)
		b.probe(way)
		filter, err := nftables.New(nftables.WithNetNSFd(int(b.pod)))
		must(t, err)
		policy := nftables.ChainPolicyDrop
		filter.AddChain(&nftables.Chain{
			Name: "input", Table: filter.AddTable(&nftables.Table{Name: "test", Family: nftables.TableFamilyIPv4}),
			Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter,
			Policy: &policy,
		})
		must(t, filter.Flush())
		b.ask()
		since := now()
		_, err = way.Write([]byte(request))
		must(t, err)
		eventually(t, source, since, "a request that a filter dropped", func(events []Event) bool {
			return slices.ContainsFunc(carrying(events, "request"), func(e Event) bool {
				return e.K == Drop && e.Reason == "NETFILTER_DROP" && e.Port == port
			})
		})
	})
}

func TestAnotherClientsPacketsAreLeftOut(t *testing.T) {
	each(t, Options{}, func(t *testing.T, b *bed, source Source) {
		way, port := b.connect(source)
		b.probe(way)
		other, _ := b.connect(nil)
		from := now()
		_, err := other.Write([]byte(request)) // it is not answered: the server has one connection at a time
		must(t, err)
		b.probe(way)
		for _, e := range source.Window(from, now()) {
			if e.Dir != "" && e.Port != port {
				t.Errorf("not a prober's: %+v", e)
			}
		}
	})
}

func TestNothingIsSeenOfWhatIsNotWatched(t *testing.T) {
	each(t, Options{}, func(t *testing.T, b *bed, source Source) {
		way, _ := b.connect(nil)
		sent, answered := b.probe(way)
		must(t, source.Watch(nil, nil))
		b.probe(way)
		if events := source.Window(sent, answered); len(events) > 0 {
			t.Errorf("%d events, the first %+v", len(events), events[0])
		}
	})
}

func TestLostEventsAreCounted(t *testing.T) {
	each(t, Options{Bytes: 4096}, func(t *testing.T, b *bed, source Source) {
		way, _ := b.connect(source)
		from := now()
		for range 300 {
			b.probe(way)
		}
		source.Window(from, now())
		if source.Lost() == 0 {
			t.Error("300 probes fit into 4 KiB")
		}
	})
}

func TestWindowLooksBack(t *testing.T) {
	each(t, Options{}, func(t *testing.T, b *bed, source Source) {
		way, _ := b.connect(source)
		b.probe(way)
		sent, answered := b.probe(way)
		first := source.Window(sent, answered)
		for range 20 {
			b.probe(way)
			time.Sleep(10 * time.Millisecond)
		}
		again := source.Window(sent, answered)
		if len(first) == 0 || !slices.Equal(first, again) {
			t.Errorf("%d events at first, %d later", len(first), len(again))
		}
		if !slices.IsSortedFunc(again, func(a, b Event) int { return int(a.T - b.T) }) {
			t.Error("not in the order of time")
		}
	})
}

func TestOnlyWhileATargetIsAskedItsPacketsAreRecorded(t *testing.T) {
	with(t, gated, Options{}, func(t *testing.T, b *bed, source Source) {
		way, _ := b.connect(source)
		b.probe(way)
		if reader := source.Reader(0); reader.Here != b.thread || reader.Task == 0 {
			t.Errorf("task %d read the request, and %+v is said to", b.thread, reader)
		}
		b.source = nil // so that the next probe is not announced
		sent, answered := b.probe(way)
		if seen := carrying(source.Window(sent, answered), "request"); len(seen) > 0 {
			t.Errorf("%d events of a probe that was not announced, the first %+v", len(seen), seen[0])
		}
		if share, known := source.Cost(10 * time.Millisecond); !known || share < 0 || share > 1 {
			t.Errorf("the programs took %v of a CPU, %v", share, known)
		}
	})
}

func TestTheReaderIsToldByItsNumberInAnotherNamespaceOfProcesses(t *testing.T) {
	nest := []string{"unshare", "--pid", "--fork", "--mount-proc"}
	same := []string{os.Args[0], "-test.run", "^TestOnlyWhileATargetIsAskedItsPacketsAreRecorded$", "-test.v"}
	for _, command := range [][]string{slices.Concat(nest, same), slices.Concat(nest, nest, same)} {
		told, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil || !bytes.Contains(told, []byte("--- PASS")) {
			t.Errorf("%v: %v\n%s", command, err, told)
		}
	}
}

func TestWhileAnotherTargetIsAskedThisOnesTasksAreNotRecorded(t *testing.T) {
	with(t, gated, Options{}, func(t *testing.T, b *bed, source Source) {
		way, port := b.connect(nil)
		other := Target{NetNS: 1, Addr: netip.MustParseAddrPort("10.213.0.9:8080")}
		must(t, source.Watch([]Target{other, b.target()}, []uint16{port}))
		for number, expected := range []bool{false, true} {
			source.Ask(number)
			sent, answered := b.probe(way)
			woken := slices.ContainsFunc(source.Window(sent, answered), func(e Event) bool { return e.K == Waking })
			if woken != expected {
				t.Errorf("target %d asked: the server was seen to be woken: %v, expected %v", number, woken, expected)
			}
		}
	})
}
