package trace

import (
	"encoding/json"
	"math"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// BenchmarkOverhead says what an armed source costs the traffic that it does not watch: iperf3 between the node and
// the pod, armed and not armed by turns, because a machine's speed wanders. The server is a task of the pod, so that
// its switches are recorded, as those of a busy server would be. Metrics are the median of the ratios of neighbours,
// and the standard error of their mean.
func BenchmarkOverhead(bench *testing.B) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		bench.Skip("iperf3 is missing")
	}
	for _, name := range all {
		bench.Run(name, func(bench *testing.B) {
			b := newBed(bench)
			b.serveIperf()
			_, port := b.connect(nil)
			var ratios []float64
			armed := func() float64 {
				source, err := Open(Options{Force: name})
				must(bench, err)
				defer func() { must(bench, source.Close()) }()
				must(bench, source.Watch([]Target{b.target()}, []uint16{port}))
				defer source.Window(0, 0)
				return b.gigabits()
			}
			for bench.Loop() {
				// In an order that lets what wanders steadily cancel out.
				first, second, third, fourth := armed(), b.gigabits(), b.gigabits(), armed()
				ratios = append(ratios, (first+fourth)/(second+third))
			}
			mean, squares := 0.0, 0.0
			for _, one := range ratios {
				mean += one / float64(len(ratios))
			}
			for _, one := range ratios {
				squares += (one - mean) * (one - mean)
			}
			n := float64(len(ratios))
			slices.Sort(ratios)
			bench.ReportMetric(ratios[len(ratios)/2], "median")
			bench.ReportMetric(mean, "mean")
			bench.ReportMetric(math.Sqrt(squares/max(n-1, 1)/n), "error")
		})
	}
}

func (b *bed) serveIperf() {
	must(b.t, inSpace(b.pod, b.node, func() error {
		server := exec.Command("iperf3", "-s", "--forceflush")
		b.t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
		return server.Start()
	}))
	time.Sleep(300 * time.Millisecond)
}

func (b *bed) gigabits() float64 {
	out, err := exec.Command("iperf3", "-c", podAddress.Addr().String(), "-t", "1", "-J").Output()
	must(b.t, err)
	var report struct {
		End struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	must(b.t, json.Unmarshal(out, &report))
	return report.End.Received.Bits / 1e9
}
