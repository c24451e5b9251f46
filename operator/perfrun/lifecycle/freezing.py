"""The beginning of a run: feature and target are read once, planned, and frozen onto it."""

from __future__ import annotations

from functools import lru_cache

from perfrun.api.feature import Policy
from perfrun.api.plan import Plan, digest
from perfrun.api.run import Frozen
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import PlanError
from perfrun.language.read import FeatureErrors
from perfrun.lifecycle.check_target import target_problems
from perfrun.lifecycle.values import Missing
from perfrun.planning.compile import plan


def freeze(
    text: str | Missing | None, target: TargetSpec | Missing | None, tags: str, policy: Policy
) -> Frozen | Missing:
    """Return what the run will do, or the reason (with a sentence for every problem) why nothing can be done."""
    if text is None or isinstance(text, Missing):
        return text or Missing("FeatureNotFound", "the run names no feature; give spec.feature or spec.featureRef")
    if target is None or isinstance(target, Missing):
        return target or Missing("TargetNotFound", "the run's target was not found; create the PerfTarget it names")
    if problems := target_problems(target):
        return Missing("InvalidTarget", f"the run's target cannot be used: {'; '.join(problems)}")
    planned = planned_for(text, target.model_dump_json(), tags, policy.model_dump_json())
    if isinstance(planned, Missing):
        return planned
    return Frozen(
        feature=text,
        feature_digest=digest(text),
        target=target,
        target_digest=digest(target.to_wire()),
        plan=planned,
        plan_digest=planned.digest(),
    )


@lru_cache(maxsize=256)
def planned_for(text: str, target: str, tags: str, policy: str) -> Plan | Missing:
    """Return the plan, or what is wrong; remembered, for it follows from its arguments (JSON) alone."""
    try:
        return plan(text, TargetSpec.model_validate_json(target), tags, Policy.model_validate_json(policy))
    except FeatureErrors as errors:
        return Missing("InvalidFeature", str(errors))
    except PlanError as error:
        return Missing("InvalidPlan", str(error))
