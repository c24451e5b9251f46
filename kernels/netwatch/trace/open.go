package trace

import (
	"cmp"
	"fmt"
	"maps"
	"time"
)

// Open opens the best source that works here, or the one that opts force.
func Open(opts Options) (Source, error) {
	if opts.Keep == 0 {
		opts.Keep = 3 * time.Second
	}
	sources := []string{SourceBTF, SourceRaw, SourceFtrace}
	if opts.Force != "" {
		sources = []string{opts.Force}
	}
	failed := map[string]string{}
	for _, name := range sources {
		source, err := open(name, opts)
		if err == nil {
			maps.Copy(source.Facilities().Missing, failed)
			return source, nil
		}
		failed[name] = err.Error()
	}
	return nil, fmt.Errorf("the kernel offers no source of events: %v", failed)
}

func open(name string, opts Options) (Source, error) {
	switch name {
	case SourceBTF, SourceRaw:
		// Two seconds of a busy server's switches: on a node that has no CPU left the windows are read late.
		opts.Bytes = cmp.Or(opts.Bytes, 32<<20)
		return openBPF(name, opts)
	case SourceFtrace:
		opts.Bytes = cmp.Or(opts.Bytes, 4<<20)
		return openFtrace(opts)
	}
	return nil, fmt.Errorf("there is no such source: expected %s, %s or %s", SourceBTF, SourceRaw, SourceFtrace)
}
