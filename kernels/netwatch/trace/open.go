package trace

import (
	"fmt"
	"maps"
	"time"
)

// Open opens the best source that works here, or the one that opts force.
func Open(opts Options) (Source, error) {
	if opts.Bytes == 0 {
		opts.Bytes = 8 << 20
	}
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
		return openBPF(name, opts)
	case SourceFtrace:
		return openFtrace(opts)
	}
	return nil, fmt.Errorf("there is no such source: expected %s, %s or %s", SourceBTF, SourceRaw, SourceFtrace)
}
