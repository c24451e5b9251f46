package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"perfrun.dev/netwatch/inject"
	"perfrun.dev/netwatch/internal/bed"
)

// TestMain lets the test's own program be the one that it tests, and the pod's server.
func TestMain(m *testing.M) {
	bed.Adopt()
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case bed.Serve:
			bed.RunServer()
		case "watch", "guard", "undo", inject.Spin:
			os.Exit(run(os.Args[1:]))
		}
	}
	os.Exit(m.Run())
}

type line map[string]any

func (l line) at(name string) int64 { return int64(l[name].(float64)) }

// watching is a watch under way.
type watching struct {
	t       *testing.T
	command *exec.Cmd
	lines   chan line
	said    strings.Builder
}

func begin(t *testing.T, config map[string]any) *watching {
	t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	w := &watching{t: t, command: exec.Command("/proc/self/exe", "watch"), lines: make(chan line, 10000)}
	w.command.Stdin, w.command.Stderr = strings.NewReader(string(text)), &w.said
	out, err := w.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.lines)
		for from := bufio.NewReader(out); ; {
			text, err := from.ReadBytes('\n')
			if err == io.EOF {
				return
			}
			var each line
			if json.Unmarshal(text, &each) != nil {
				each = line{"type": "no JSON", "text": string(text)}
			}
			w.lines <- each
		}
	}()
	return w
}

// until gives all lines up to the next one of a type.
func (w *watching) until(kind string) []line {
	w.t.Helper()
	var seen []line
	for limit := time.After(60 * time.Second); ; {
		select {
		case each, more := <-w.lines:
			if !more {
				w.t.Fatalf("no line of type %s; it said %s", kind, w.said.String())
			}
			seen = append(seen, each)
			if each["type"] == kind {
				return seen
			}
		case <-limit:
			_ = w.command.Process.Kill()
			w.t.Fatalf("no line of type %s", kind)
		}
	}
}

func (w *watching) end() int {
	for range w.lines {
	}
	_ = w.command.Wait()
	return w.command.ProcessState.ExitCode()
}

func configOf(b *bed.Bed, kinds ...string) map[string]any {
	return map[string]any{
		"fault": fmt.Sprintf("main-test-%d", os.Getpid()), "inject": append([]string{}, kinds...), "rounds": 1,
		"lasts_ms": 60, "window_s": 30,
		"probe": map[string]any{"port": bed.Port, "path": "/", "interval_ms": 1, "deadline_ms": 4, "baseline_ms": 200},
		"pods": []map[string]any{{
			"ip": bed.IP, "namespace": "test", "name": "pod",
			"containers": []map[string]string{{"name": "web", "id": b.Container}},
		}},
	}
}

func TestEverySpikeIsSeenWithWhatTheKernelDid(t *testing.T) {
	b := bed.New(t)
	w := begin(t, configOf(b, inject.Kinds...))
	lines := w.until("end")
	if code := w.end(); code != exitDone {
		t.Fatalf("exit code %d: %s", code, w.said.String())
	}
	spikes, events, states, undone := []line{}, map[float64]line{}, map[float64]line{}, map[string]line{}
	var made []line
	for _, each := range lines {
		switch each["type"] {
		case "spike":
			spikes = append(spikes, each)
		case "events":
			events[each["spike"].(float64)] = each
		case "state":
			states[each["spike"].(float64)] = each
		case "inject":
			made = append(made, each)
		case "undo":
			undone[each["kind"].(string)] = each
		case "refused", "left", "no JSON", "error":
			t.Errorf("%v", each)
		}
	}
	if len(made) != len(inject.Kinds) {
		t.Fatalf("%d spikes were made", len(made))
	}
	for _, each := range made {
		kind, seen := each["kind"].(string), false
		for _, spike := range spikes {
			if spike.at("at_ns") < each.at("ordered_ns") || spike.at("sent_ns") > undone[kind].at("at_ns") {
				continue
			}
			seen = true
			id := spike["id"].(float64)
			if events[id] == nil || states[id] == nil || len(events[id]["events"].([]any)) == 0 {
				t.Errorf("%s: nothing is told of spike %v", kind, id)
			}
		}
		if !seen {
			t.Errorf("the spike of kind %s was not seen", kind)
		}
	}
	last := lines[len(lines)-1]
	if last["clean"] != true || last["stopped"] != false || last.at("probes") != last.at("answered")+last.at("missed") {
		t.Errorf("%v", last)
	}
}

func TestAWatchThatIsToldToEndUndoesItsSpike(t *testing.T) {
	for _, kind := range inject.Kinds {
		t.Run(kind, func(t *testing.T) {
			b := bed.New(t)
			config := configOf(b, kind)
			config["lasts_ms"] = 500
			w := begin(t, config)
			made := w.until("inject")
			_ = w.command.Process.Signal(syscall.SIGTERM)
			last := w.until("end")
			if code := w.end(); code != exitDone {
				t.Errorf("exit code %d: %s", code, w.said.String())
			}
			undo := last[0]
			for _, each := range last {
				if each["type"] == "undo" {
					undo = each
				}
			}
			if lasted := undo.at("at_ns") - made[len(made)-1].at("at_ns"); undo["type"] != "undo" || lasted > int64(400*time.Millisecond) {
				t.Errorf("%v, after %d ns", undo, lasted)
			}
			if end := last[len(last)-1]; end["clean"] != true || end["stopped"] != true {
				t.Errorf("%v", end)
			}
			// Packets that were dropped are sent again later and later.
			if !b.Answers(3 * time.Second) {
				t.Error("the server does not answer afterwards")
			}
		})
	}
}

func TestAWatchWhoseReaderIsGoneUndoesItsSpike(t *testing.T) {
	b := bed.New(t)
	config := configOf(b, inject.Freezer)
	config["lasts_ms"] = 500
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/proc/self/exe", "watch")
	command.Stdin, command.Stdout = strings.NewReader(string(text)), writer
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	for from := bufio.NewReader(reader); ; {
		text, err := from.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(text, `{"type":"inject"`) {
			break
		}
	}
	_ = reader.Close()
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
	if state, _ := b.Group("freezer").Read("freezer.state"); state == "FROZEN" || !b.Answers(time.Second) {
		t.Errorf("the container is %s", state)
	}
}

func TestAPodThatDoesNotAnswerCannotBeWatched(t *testing.T) {
	b := bed.New(t)
	config := configOf(b, inject.Freezer)
	config["probe"].(map[string]any)["port"] = bed.Port + 1
	w := begin(t, config)
	lines := w.until("error")
	if last := lines[len(lines)-1]; last["reason"] != "NoProbe" || w.end() != exitBroke {
		t.Errorf("%v", last)
	}
}

func TestABadConfigurationIsNamed(t *testing.T) {
	for text, expected := range map[string]string{
		`{`: "not JSON as expected",
		`{"fault": "../x", "probe": {"port": 80}, "pods": [{"ip": "10.0.0.1"}]}`:                  `fault: "../x" is no name`,
		`{"fault": "x", "probe": {"port": 0}, "pods": [{"ip": "10.0.0.1"}]}`:                      "probe.port is 0; expected 1 to 65535",
		`{"fault": "x", "probe": {"port": 80}, "pods": []}`:                                       "pods is empty",
		`{"fault": "x", "probe": {"port": 80}, "pods": [{"ip": "web"}]}`:                          `pods[0].ip is "web"; expected an address`,
		`{"fault": "x", "probe": {"port": 80}, "inject": ["rain"], "pods": [{"ip": "10.0.0.1"}]}`: `inject: "rain" is no kind of spike`,
		`{"fault": "x", "probe": {"port": 80}, "lasts_ms": 900, "pods": [{"ip": "10.0.0.1"}]}`:    "lasts_ms is 900; expected 10 to 500",
		`{"fault": "x", "probe": {"port": 80, "path": "a b"}, "pods": [{"ip": "10.0.0.1"}]}`:      `probe.path is "a b"`,
	} {
		if _, err := readConfig(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), expected) {
			t.Errorf("%s: %v; expected %s", text, err, expected)
		}
	}
}

func TestTheDeadlineIsAboveWhatIsUsualButNotTooLate(t *testing.T) {
	const ms = time.Millisecond
	for _, each := range []struct{ wanted, interval, usual, expected time.Duration }{
		{2 * ms, ms, ms / 10, 2 * ms},
		{2 * ms, ms, ms, 3 * ms},
		{2 * ms, ms, 10 * ms, 3500 * time.Microsecond},
		{8 * ms, ms, 10 * ms, 8 * ms},
	} {
		if got := deadlineFor(each.wanted, each.interval, each.usual); got != each.expected {
			t.Errorf("%+v: %v", each, got)
		}
	}
}

func TestAFrozenContainerOfVersion2IsSeenToBeFrozen(t *testing.T) {
	bed.Second(t)
	b := bed.New(t)
	config := configOf(b, inject.Freezer)
	// In version 1 the server is wherever this test is, which says nothing of its container.
	config["pods"].([]map[string]any)[0]["cgroup"] = b.Cgroup
	w := begin(t, config)
	lines := w.until("end")
	if code := w.end(); code != exitDone {
		t.Fatalf("exit code %d: %s", code, w.said.String())
	}
	at := slices.IndexFunc(lines, func(each line) bool { return each["type"] == "inject" })
	if at < 0 {
		t.Fatal("none was made")
	}
	made := lines[at]
	// On a busy machine there may be spikes beside the one that was made.
	for _, each := range lines {
		if each["type"] != "state" {
			continue
		}
		container := each["containers"].([]any)[0].(map[string]any)
		if container["frozen"] == true && container["cgroup"] == b.Cgroup && made["container_id"] == b.Container {
			return
		}
	}
	t.Error("no spike was seen with the container frozen")
}
