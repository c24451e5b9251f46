from __future__ import annotations

from pathlib import Path

import pytest

from perfrun.controller.settings import DEFAULT_COMMAND, SettingsError, read


def test_defaults() -> None:
    settings = read([], {"POD_NAME": "perfrun-0", "POD_NAMESPACE": "system"})
    assert (settings.identity, settings.lease_namespace, settings.namespaces) == ("perfrun-0", "system", ())
    assert settings.command == DEFAULT_COMMAND


def test_a_flag_wins_over_the_environment() -> None:
    environment = {"PERFRUN_PORT": "1", "PERFRUN_NAMESPACES": "a, b,", "PERFRUN_IMAGE": ""}
    settings = read(["--port", "2"], environment)
    assert (settings.port, settings.namespaces) == (2, ("a", "b"))
    assert settings.image == read([], {}).image


@pytest.mark.parametrize("text", ['["python", "-m", "x"]', "python -m x"])
def test_a_command_is_words(text: str) -> None:
    assert read(["--command", text], {}).command == ("python", "-m", "x")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("port", "http"),
        ("port", "70000"),
        ("workers", "0"),
        ("log-format", "xml"),
        ("log-level", "loud"),
        ("command", "[1]"),
        ("command", '"'),
        ("agent-command", "[]"),
        ("chaos", "maybe"),
        ("pod-resources", "many"),
        ("pod-resources", '{"max": {}}'),
    ],
)
def test_a_value_that_cannot_be_used_is_named(flag: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"--{flag}: found .*, expected "):
        read([f"--{flag}", value], {})


def test_pods_are_told_where_and_whom_to_trust(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("PEM")
    pods = read(["--tls-dir", str(tmp_path), "--results-url", "https://perfrun.system.svc:8443"], {}).pods()
    assert (pods.results_url, pods.ca_bundle) == ("https://perfrun.system.svc:8443", "PEM")
    assert read([], {}).pods().ca_bundle == ""


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ca\.crt cannot be read"):
        read(["--tls-dir", str(tmp_path)], {}).pods()


def test_fault_agents_are_made_from_what_benchmark_pods_are_where_nothing_else_is_said() -> None:
    agents = read(["--image", "kernels:1", "--runtime-class", "slim"], {}).agents()
    assert (agents.namespace, agents.image, agents.runtime_class) == ("perfrun-chaos", "kernels:1", "slim")
    assert agents.command == ("python", "-m", "perfrun_kernels.fault")


def test_fault_agents_may_have_an_image_of_their_own() -> None:
    environment = {
        "PERFRUN_IMAGE": "kernels:1", "PERFRUN_AGENT_IMAGE": "agent:2", "PERFRUN_AGENT_NAMESPACE": "chaos",
        "PERFRUN_AGENT_COMMAND": '["agent", "-v"]', "PERFRUN_AGENT_RUNTIME_CLASS": "host",
    }  # fmt: skip
    agents = read([], environment).agents()
    assert (agents.namespace, agents.image, agents.runtime_class) == ("chaos", "agent:2", "host")
    assert agents.command == ("agent", "-v")


@pytest.mark.parametrize(("environment", "chaos"), [({}, True), ({"PERFRUN_CHAOS": "false"}, False)])
def test_an_installation_may_rule_faults_out(environment: dict[str, str], *, chaos: bool) -> None:
    assert read([], environment).chaos is chaos
