"""The words of LLM sampling: models of several sizes, batches, and the time that each token takes."""

from __future__ import annotations

from perfrun.language.expressions import nearest
from perfrun.language.model import Location, Problem, Scenario
from perfrun.language.vocabulary import Column, Phrase, Subject, Vocabulary, meaning, steps_of

NAME = "sampling"


def _check(scenario: Scenario) -> tuple[Problem, ...]:
    problems = []
    sizes = [row["model_size"] for each in scenario.meanings("model_configurations") for row in each.values["rows"]]
    for step in steps_of(scenario, "model_size"):
        size = step.meaning.values["size"] if step.meaning else ""
        if not sizes:
            message = (
                f"the model size {size!r} is defined nowhere; add a step 'Given the following model configurations:' "
                "with a table of model_size, batch_size and sequence_length"
            )
            problems.append(Problem(step.location, "missing-step", message))
        elif size not in sizes:
            hint = nearest(size, sizes)
            message = f"the model size {size!r} is not in the table of model configurations; expected one of "
            problems.append(Problem(step.location, "unknown-model-size", message + ", ".join(sizes), hint))
    problems += [
        Problem(steps[1].location, "repeated-step", f"{steps[1].text!r} states this for a second time; remove one")
        for key in ("model_size", "batch_size", "sample_tokens")
        for steps in (steps_of(scenario, key),)
        if len(steps) > 1
    ]
    if not steps_of(scenario, "model_size"):
        problems.append(_missing(scenario.location, 'Given a model of size "small"'))
    if not steps_of(scenario, "sample_tokens"):
        problems.append(_missing(scenario.location, "When sampling 1000 tokens"))
    return tuple(problems)


def _missing(location: Location, example: str) -> Problem:
    return Problem(location, "missing-step", f"the scenario lacks a step such as {example!r}; add it", example)


VOCABULARY = Vocabulary(
    capability=NAME,
    title="LLM sampling",
    check=_check,
    phrases=(
        Phrase("the LLM system is running", "context", lambda: meaning(NAME, "llm_running"), neutral=True),
        Phrase("performance monitoring is enabled", "context", lambda: meaning(NAME, "monitoring"), neutral=True),
        Phrase(
            "the following model configurations:",
            "context",
            lambda rows: meaning(NAME, "model_configurations", rows=rows),
            neutral=True,
            columns=(
                Column("model_size", key=True), Column("batch_size", "integer"), Column("sequence_length", "integer"),
            ),
        ),
        Phrase(
            "a model of size {string}", "context", lambda size: meaning(NAME, "model_size", size=size),
            example='a model of size "small"',
        ),
        Phrase(
            "a batch size of {count}", "context", lambda value: meaning(NAME, "batch_size", value=value),
            example="a batch size of 32",
        ),
        Phrase(
            "sampling {count} token(s)", "action", lambda count: meaning(NAME, "sample_tokens", count=count),
            example="sampling 1000 tokens",
        ),
    ),
    subjects=(
        Subject(
            "p99_latency", ("{percentile} latency", "{percentile} inter-token latency"), "time", "ms",
            parameters=("percentile",), example="p99 latency",
        ),
        Subject(
            "ttft", ("{percentile} time to first token", "{percentile} TTFT"), "time", "ms",
            parameters=("percentile",), example="p99 time to first token",
        ),
        Subject(
            "tpot", ("{percentile} time per output token", "{percentile} TPOT"), "time", "ms",
            parameters=("percentile",), example="p99 time per output token",
        ),
        Subject(
            "e2e", ("{percentile} end-to-end latency", "{percentile} e2e latency"), "time", "ms",
            parameters=("percentile",), example="p99 end-to-end latency",
        ),
        Subject("throughput", ("throughput", "token throughput"), "tokens/time", "tokens/s"),
        Subject("gpu_memory", ("GPU memory usage", "GPU memory"), "bytes", "GB"),
    ),
)  # fmt: skip
