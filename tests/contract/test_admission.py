"""The webhook as the API server calls it: refused at kubectl apply with the words of ``perfrun lint``."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from workbench import Bench

from perfrun.adapters.api import Api, NotFound
from perfrun.api import API_VERSION
from perfrun.controller.access import Access
from perfrun.controller.admission import Admission
from perfrun.controller.http import Services, public, tls
from perfrun.controller.results import Results
from perfrun.controller.telemetry import Telemetry

pytestmark = pytest.mark.contract

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
SOUND = """Feature: Sound
  Scenario: One
    Given the following model configurations:
      | model_size | batch_size | sequence_length |
      | small      | 1          | 16              |
    And a model of size "small"
    And a batch size of 1
    When sampling 8 tokens
    Then p99 latency should be below 10 ms
"""
UNKNOWN_SUBJECT = SOUND.replace("p99 latency should be below 10 ms", "checkout error ratio should stay below 0.1%")
Apply = Callable[..., str]


@pytest.fixture
async def webhook(bench: Bench, reachable: str, certificate: Callable[[str], Path]) -> AsyncIterator[str]:
    """The operator's public port over TLS, registered for one namespace; refuses where it does not answer."""
    directory = certificate(reachable)
    access = Access(bench.api)
    services = Services(
        cluster=bench.cluster, artifacts=bench.artifacts, access=access,
        results=Results(bench.api, bench.cluster, bench.artifacts, access, lambda _: None),
        review=Admission(bench.cluster).review, telemetry=Telemetry(), leads=lambda: True, namespace_of=lambda _: None,
    )  # fmt: skip
    runner = web.AppRunner(public(services))
    await runner.setup()
    await web.TCPSite(runner, reachable, 0, ssl_context=tls(directory)).start()
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": bench.namespace},
        "webhooks": [
            {
                "name": "lint.perfrun.dev",
                "clientConfig": {
                    "url": f"https://{reachable}:{runner.addresses[0][1]}/admission",
                    "caBundle": b64encode((directory / "ca.crt").read_bytes()).decode(),
                },
                "rules": [
                    {
                        "apiGroups": ["perfrun.dev"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"],
                        "resources": ["perffeatures", "perfruns", "perftargets"],
                    }
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": bench.namespace}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 10,
            }
        ],
    }  # fmt: skip
    await bench.api.create(CONFIGURATIONS, body)
    await _in_force(bench)
    yield bench.namespace
    await bench.api.delete(f"{CONFIGURATIONS}/{bench.namespace}")
    await runner.cleanup()


async def _in_force(bench: Bench) -> None:
    """Wait until the API server asks the webhook: it hears of it a moment later."""
    for _ in range(200):
        try:
            await bench.feature("probe")
        except Exception:  # noqa: BLE001 -- refused, however: it is in force
            return
        await bench.api.delete(f"/apis/{API_VERSION}/namespaces/{bench.namespace}/perffeatures/probe")
        await asyncio.sleep(0.05)


@pytest.fixture
def apply(webhook: str, kubectl: Callable[..., str]) -> Apply:
    def run(kind: str, name: str = "x", **spec: Any) -> str:
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, "namespace": webhook}, "spec": spec}
        return kubectl("apply", "-f", "-", input=json.dumps(body), check=False)

    return run


async def applied(apply: Apply, kind: str, **spec: Any) -> str:
    # kubectl waits for the webhook, which this event loop answers.
    return await asyncio.to_thread(lambda: apply(kind, **spec))


async def test_a_sound_feature_is_taken(apply: Apply) -> None:
    await applied(apply, "PerfTarget", name="t", llm={"engine": "builtin"})
    assert "perffeature.perfrun.dev/x created" in await applied(apply, "PerfFeature", feature=SOUND, targetRef="t")


async def test_every_problem_is_told_with_its_place(apply: Apply) -> None:
    text = SOUND.replace("And a batch size of 1", "And a bach size of 1").replace("10 ms", "10 gigabytes")
    told = await applied(apply, "PerfFeature", feature=text, targetRef="t")
    assert "7:" in told
    assert "undefined-step" in told or "batch size" in told
    assert "9:" in told


async def test_what_may_be_a_metric_of_a_target_to_come_is_a_warning(apply: Apply) -> None:
    told = await applied(apply, "PerfFeature", feature=UNKNOWN_SUBJECT, targetRef="later")
    assert "created" in told
    await applied(apply, "PerfTarget", name="there", llm={"engine": "builtin"})
    refused = await applied(apply, "PerfFeature", name="y", feature=UNKNOWN_SUBJECT, targetRef="there")
    assert "undefined-step" in refused
    assert "created" not in refused


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        ("PerfFeature", {"feature": "nonsense", "targetRef": "t"}, "1:1"),
        ("PerfFeature", {"feature": SOUND, "targetRef": "t", "tags": "@a and"}, "tag expression"),
        ("PerfFeature", {"feature": SOUND, "targetRef": "t", "schedule": {"cron": "99 * * * *"}}, "spec.schedule"),
        ("PerfFeature", {"feature": SOUND, "targetRef": "t", "schedule": {"cron": "0 0 30 2 *"}}, "spec.schedule"),
        (
            "PerfFeature",
            {"feature": SOUND, "targetRef": "t", "schedule": {"cron": "@daily", "timeZone": "Mars/Olympus"}},
            "Mars/Olympus",
        ),
        ("PerfRun", {"feature": SOUND.replace("sampling", "smapling"), "targetRef": "t"}, "8:"),
        ("PerfTarget", {"metrics": [{"name": "m", "query": "up{", "unit": "furlongs"}]}, "metric 'm'"),
    ],
    ids=["no feature", "tags", "cron", "impossible date", "time zone", "run", "metric"],
)
async def test_what_can_never_be_verified_is_refused(apply: Apply, kind: str, spec: dict[str, Any], told: str) -> None:
    answer = await applied(apply, kind, **spec)
    assert "denied the request" in answer
    assert told in answer


async def test_what_is_not_about_the_spec_is_nobodys_business(
    api: Api, apply: Apply, webhook: str, kubectl: Callable[..., str]
) -> None:
    await applied(apply, "PerfTarget", name="t", llm={"engine": "builtin"})
    # Taken while its target was missing; wrong as it is now, it may still be labelled and deleted.
    await applied(apply, "PerfFeature", name="later", feature=UNKNOWN_SUBJECT, targetRef="none")
    await applied(apply, "PerfTarget", name="none", llm={"engine": "builtin"})
    labelled = await asyncio.to_thread(lambda: kubectl("-n", webhook, "label", "pf", "later", "team=a"))
    assert "labeled" in labelled
    await asyncio.to_thread(lambda: kubectl("-n", webhook, "delete", "pf", "later"))
    with pytest.raises(NotFound):
        await api.get(f"/apis/{API_VERSION}/namespaces/{webhook}/perffeatures/later")
