package topology

import (
	"os"
	"slices"
	"testing"

	"perfrun.dev/netwatch/internal/bed"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == bed.Serve {
		bed.RunServer()
	}
	os.Exit(m.Run())
}

func TestAPodIsFoundByItsAddressItsProcessAndItsContainer(t *testing.T) {
	b := bed.New(t)
	seen, err := Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	if seen.Node != b.Node {
		t.Errorf("the node is %d; expected %d", seen.Node, b.Node)
	}
	space, found := seen.Find(bed.IP)
	if !found || space.NetNS != b.Pod {
		t.Fatalf("the pod's namespace is %d (%v); expected %d", space.NetNS, found, b.Pod)
	}
	if space.Device != "vethbed" || space.Inside != "eth0" || space.MTU != 1500 {
		t.Errorf("its devices are %q and %q, of %d bytes", space.Device, space.Inside, space.MTU)
	}
	if holding, _ := seen.Holding(b.PID); holding.NetNS != b.Pod {
		t.Errorf("its process is in %d", holding.NetNS)
	}
	if path, pids := seen.Container(b.Container); path != b.Cgroup || !slices.Contains(pids, b.PID) {
		t.Errorf("the container is at %q with %v; expected %q with %d", path, pids, b.Cgroup, b.PID)
	}
	if listener := space.Listener(bed.Port); listener != b.PID {
		t.Errorf("%d listens; expected %d", listener, b.PID)
	}
	if nobody := space.Listener(bed.Port + 1); nobody != 0 {
		t.Errorf("%d listens where nobody does", nobody)
	}
	if tasks := space.Tasks(); !slices.Contains(tasks, b.PID) || len(tasks) < 2 {
		t.Errorf("its tasks are %v", tasks)
	}
}

func TestNamespacesOfOtherNodesAreLeftOutUnlessAskedFor(t *testing.T) {
	other, own := bed.New(t), bed.New(t)
	seen, err := Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, found := seen.Holding(other.PID); found {
		t.Error("a pod of another node is listed")
	}
	if space, _ := seen.Find(bed.IP); space.NetNS != own.Pod {
		t.Errorf("the pod is %d; expected %d, not the other node's with the same address", space.NetNS, own.Pod)
	}
	if seen, err = Read([]int{other.PID}); err != nil {
		t.Fatal(err)
	}
	if space, found := seen.Holding(other.PID); !found || space.Ifindex != 0 {
		t.Errorf("the one that was asked for is %+v", space)
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	var nothing Map
	if _, found := nothing.Find("10.0.0.1"); found {
		t.Error("an address was found")
	}
	if _, found := nothing.Find("nonsense"); found {
		t.Error("nonsense was found")
	}
	if path, pids := nothing.Container(""); path != "" || pids != nil {
		t.Errorf("no id is at %q", path)
	}
}
