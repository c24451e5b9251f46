"""The smallest real measurement: one scenario, and a target whose model decodes 50 tokens in a blink."""

from __future__ import annotations

from typing import Any

FEATURE = """Feature: Tiny
  Scenario: Sampling
    Given the following model configurations:
      | model_size | batch_size | sequence_length |
      | small      | 2          | 8               |
    And a model of size "small"
    And a batch size of 2
    When sampling 50 tokens
    Then throughput should exceed 1 token per second
"""
SIZE = {"hiddenSize": 32, "intermediateSize": 64, "layers": 1, "heads": 2, "kvHeads": 1, "vocabSize": 128}


def target(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "perfrun.dev/v1alpha1", "kind": "PerfTarget", "metadata": {"name": name},
        "spec": {"llm": {"budget": "20s", "models": {"small": {"config": SIZE}}}, **spec},
    }  # fmt: skip


def feature(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "perfrun.dev/v1alpha1", "kind": "PerfFeature", "metadata": {"name": name},
        "spec": {"feature": FEATURE, "targetRef": name, **spec},
    }  # fmt: skip
