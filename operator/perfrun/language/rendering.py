"""Problems as people, scripts and code hosts read them: text, JSON and SARIF 2.1.0."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from perfrun.language.lint import Finding
from perfrun.language.rules import RULES

SARIF_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def text(findings: Sequence[Finding]) -> str:
    """Return one line for each problem: ``file:line:column: message [rule]``."""
    return "".join(
        f"{each.path}:{each.problem.location.line}:{each.problem.location.column}: "
        f"{' '.join(each.problem.message.split())} [{each.problem.rule}]\n"
        for each in findings
    )


def as_json(findings: Sequence[Finding], files: int) -> str:
    """Return a JSON object with ``files`` (how many were checked) and ``problems``."""
    problems = [
        {
            "path": each.path, "line": each.problem.location.line, "column": each.problem.location.column,
            "rule": each.problem.rule, "message": each.problem.message, "hint": each.problem.hint,
        }
        for each in findings
    ]  # fmt: skip
    return json.dumps({"files": files, "problems": problems}, indent=2, ensure_ascii=False) + "\n"


def sarif(findings: Sequence[Finding], version: str) -> str:
    """Return a SARIF 2.1.0 log with one run; ``version`` is that of perfrun."""
    rules = list(RULES)
    run = {
        "tool": {
            "driver": {
                "name": "perfrun", "semanticVersion": version,
                "rules": [{"id": name, "shortDescription": {"text": what}} for name, what in RULES.items()],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, rules) for each in findings],
    }  # fmt: skip
    log = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _result(finding: Finding, rules: Sequence[str]) -> dict[str, Any]:
    problem = finding.problem
    return {
        "ruleId": problem.rule,
        "ruleIndex": rules.index(problem.rule),
        "level": "error",
        "message": {"text": problem.message},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(finding.path)},
                    "region": {"startLine": problem.location.line, "startColumn": problem.location.column},
                }
            }
        ],
    }


def _uri(path: str) -> str:
    """Return a path as a URI reference; what may not stand in one is percent-encoded."""
    from urllib.parse import quote  # noqa: PLC0415 -- only SARIF needs it

    return quote(path, safe="/")
