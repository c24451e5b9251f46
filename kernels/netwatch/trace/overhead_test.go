package trace

import (
	"encoding/json"
	"math"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkOverhead says what an armed source costs traffic that is not the probers': iperf3 between the node and a
// pod, armed and not armed by turns, where that pod is another one than the watched, and where it is the watched, so
// that all that the server's tasks do is recorded. Metrics: CPU seconds for a Gbit, this process's own among them, armed against not armed
// (where iperf3 has the machine to itself its throughput falls as they rise; others on the machine disturb them
// less), with the standard error of their mean, and the same of the throughput.
func BenchmarkOverhead(bench *testing.B) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		bench.Skip("iperf3 is missing")
	}
	for _, name := range all {
		for _, pod := range []string{"another", "watched"} {
			bench.Run(name+"/"+pod, func(bench *testing.B) {
				b := newBed(bench)
				b.serveIperf()
				_, port := b.connect(nil)
				target := b.target()
				if pod == "another" {
					target.NetNS, target.PIDs = 1, nil // no namespace has this inode
				}
				measureOverhead(bench, b, name, target, port)
			})
		}
	}
}

func measureOverhead(bench *testing.B, b *bed, name string, target Target, port uint16) {
	armed := func() slice {
		source, err := Open(Options{Force: name})
		must(bench, err)
		defer func() { must(bench, source.Close()) }()
		must(bench, source.Watch([]Target{target}, []uint16{port}))
		return b.iperf()
	}
	var costs, rates []float64
	for bench.Loop() {
		// In an order that lets what wanders steadily cancel out.
		first, second, third, fourth := armed(), b.iperf(), b.iperf(), armed()
		costs = append(costs, (first.cost+fourth.cost)/(second.cost+third.cost))
		rates = append(rates, (first.rate+fourth.rate)/(second.rate+third.rate))
	}
	tell(bench, costs, "cpu")
	tell(bench, rates, "rate")
}

func tell(bench *testing.B, ratios []float64, what string) {
	n, mean, squares := float64(len(ratios)), 0.0, 0.0
	for _, one := range ratios {
		mean += one / n
	}
	for _, one := range ratios {
		squares += (one - mean) * (one - mean)
	}
	slices.Sort(ratios)
	bench.ReportMetric(ratios[len(ratios)/2], what+"-median")
	bench.ReportMetric(mean, what+"-mean")
	bench.ReportMetric(math.Sqrt(squares/max(n-1, 1)/n), what+"-error")
}

func (b *bed) serveIperf() {
	must(b.t, inSpace(b.pod, b.node, func() error {
		server := exec.Command("iperf3", "-s", "--forceflush")
		b.t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
		return server.Start()
	}))
	time.Sleep(300 * time.Millisecond)
}

// slice is a second of iperf3: bits a second, and CPU seconds for a bit.
type slice struct{ rate, cost float64 }

func (b *bed) iperf() slice {
	before := ownCPU()
	out, err := exec.Command("iperf3", "-c", podAddress.Addr().String(), "-t", "1", "-J").Output()
	must(b.t, err)
	own := ownCPU() - before
	var report struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
			CPU struct {
				Client float64 `json:"host_total"` // per cent
				Server float64 `json:"remote_total"`
			} `json:"cpu_utilization_percent"`
		}
	}
	must(b.t, json.Unmarshal(out, &report))
	end := report.End
	return slice{end.Received.Rate, ((end.CPU.Client+end.CPU.Server)/100 + own) / end.Received.Rate}
}

func ownCPU() float64 {
	var used unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &used)
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}
