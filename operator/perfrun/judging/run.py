"""The scenarios' verdicts → the run's, in words short enough for a column of ``kubectl get``."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from perfrun.api.run import ScenarioStatus
from perfrun.api.verdicts import Verdict, worst
from perfrun.judging.wording import DETAIL, counted, head, short_name


@attrs.frozen
class RunJudgement:
    """The verdict on a run; ``summary`` is scenarios passed of all, such as ``2/3``."""

    verdict: Verdict
    reason: str
    message: str
    summary: str


def judge_run(scenarios: Sequence[ScenarioStatus]) -> RunJudgement:
    """Return the run's verdict: the worst of its scenarios, with the message of the first that is as bad."""
    passed = sum(each.verdict is Verdict.PASS for each in scenarios)
    summary = f"{passed}/{len(scenarios)}"
    if not scenarios:
        return RunJudgement(Verdict.INCONCLUSIVE, "NoScenarios", "no scenario was selected", summary)
    verdict = worst(each.verdict for each in scenarios)
    if verdict is Verdict.PASS:
        return RunJudgement(verdict, "AllScenariosPassed", f"{counted(passed, 'scenario')} passed", summary)
    # Skipped counts for nothing in the worst-of, so a run of nothing else is Inconclusive with no scenario that is.
    decisive = next((each for each in scenarios if each.verdict is verdict), scenarios[0])
    message = f"{head(decisive.message)}{DETAIL}{short_name(decisive.name)})"
    return RunJudgement(verdict, decisive.reason, message, summary)
