package trace

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// kernelTypes are what the kernel says of its own tracepoints and enums (BTF).
type kernelTypes struct {
	spec    *btf.Spec
	reasons map[uint32]string
}

func readKernelTypes() (*kernelTypes, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("the kernel's types (BTF) cannot be read: %w", err)
	}
	k := &kernelTypes{spec: spec, reasons: map[uint32]string{}}
	var reasons *btf.Enum
	if spec.TypeByName("skb_drop_reason", &reasons) == nil { // since Linux 5.17
		for _, one := range reasons.Values {
			k.reasons[uint32(one.Value)] = strings.TrimPrefix(one.Name, "SKB_DROP_REASON_")
		}
	}
	return k, nil
}

// arguments counts those of a tracepoint; 0 is of one that does not exist.
func (k *kernelTypes) arguments(tracepoint string) int {
	var hook *btf.Typedef
	if k.spec.TypeByName("btf_trace_"+tracepoint, &hook) != nil {
		return 0
	}
	pointer, ok := hook.Type.(*btf.Pointer)
	if !ok {
		return 0
	}
	function, ok := pointer.Target.(*btf.FuncProto)
	if !ok {
		return 0
	}
	return len(function.Params) - 1 // the first is the tracepoint's own
}

func (k *kernelTypes) reason(number uint32) string {
	if name, ok := k.reasons[number]; ok {
		return name
	}
	return fmt.Sprintf("reason %d", number)
}

func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}
