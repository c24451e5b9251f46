package trace

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tellSource opens the best source that there is and says which, or why there is none.
func tellSource() {
	source, err := Open(Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(source.Facilities().Source)
	_ = source.Close()
}

// withOnly is what tellSource says with these capabilities and no others.
func withOnly(t *testing.T, capabilities ...uintptr) string {
	if os.Geteuid() != 0 {
		t.Skip("capabilities can be taken from root only")
	}
	runtime.LockOSThread() // never unlocked: what is taken from the thread is not given back
	for each := uintptr(0); each <= unix.CAP_LAST_CAP; each++ {
		if !slices.Contains(capabilities, each) {
			must(t, unix.Prctl(unix.PR_CAPBSET_DROP, each, 0, 0, 0))
		}
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "NETWATCH_TEST_OPEN=1")
	out, err := child.CombinedOutput()
	must(t, err)
	return strings.TrimSpace(string(out))
}

func TestTwoCapabilitiesAreEnough(t *testing.T) {
	if said := withOnly(t, unix.CAP_BPF, unix.CAP_PERFMON); said != SourceBTF {
		t.Error(said)
	}
}

func TestMissingCapabilitiesAreNamed(t *testing.T) {
	said := withOnly(t, unix.CAP_NET_ADMIN)
	if said == SourceFtrace {
		t.Skip("tracefs is mounted here, and root may use it")
	}
	for _, name := range []string{SourceBTF, SourceRaw, SourceFtrace, "CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN"} {
		if !strings.Contains(said, name) {
			t.Errorf("%q does not name %s", said, name)
		}
	}
}
