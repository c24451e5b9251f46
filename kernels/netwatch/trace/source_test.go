package trace

import (
	"slices"
	"testing"
	"time"
)

var all = []string{SourceBTF, SourceRaw}

func each(t *testing.T, test func(*testing.T, *bed, Source)) {
	for _, name := range all {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			source, err := Open(Options{Force: name})
			must(t, err)
			defer func() { must(t, source.Close()) }()
			test(t, b, source)
		})
	}
}

func packets(events []Event, dir string) (kinds []string) {
	for _, e := range events {
		if e.Dir == dir && e.Len > 0 {
			kinds = append(kinds, e.K)
		}
	}
	return kinds
}

func TestRequestAndReplyAreSeenAllTheWay(t *testing.T) {
	each(t, func(t *testing.T, b *bed, source Source) {
		way, port := b.connect(source)
		b.probe(way)
		time.Sleep(5 * time.Millisecond)
		sent, answered := b.probe(way)
		events := source.Window(sent, answered)
		for _, e := range events {
			t.Logf("%7.1f µs %+v", float64(e.T-sent)/1e3, e)
		}
		want := []string{DevQueue, DevXmit, NetifRx, NetifReceive, SockReady, Recv}
		for _, dir := range []string{"request", "reply"} {
			if got := packets(events, dir); !slices.Equal(got, want) {
				t.Errorf("%s: %v, expected %v", dir, got, want)
			}
		}
		for _, e := range events {
			if e.Dir != "" && e.Port != port {
				t.Errorf("the port of %+v is not %d", e, port)
			}
		}
	})
}
