"""Whether draws follow a distribution: a chi-square test for samplers, with a stated rate of false alarms."""

import numpy as np
import torch
from scipy import stats

from perfrun_kernels.sampling import reference
from perfrun_kernels.sampling.parameters import SamplingOptions

FALSE_ALARM = 1e-6
"""Chance that a correct sampler would have failed one of these tests when its seed was chosen."""

LEAST_EXPECTED = 8.0
"""Draws that a group must expect for chi-square to hold."""


def distribution(logits: torch.Tensor, options: SamplingOptions) -> np.ndarray:
    """Return each token's probability, [vocabulary], by the reference."""
    scores, ids = reference.candidates(reference.sanitise(logits.unsqueeze(0)), options)
    kept = reference.weights(scores, options)[0].double().numpy()
    found = np.zeros(len(logits))
    found[slice(None) if ids is None else ids[0].numpy()] = kept / kept.sum()
    return found


def fits(tokens: torch.Tensor, probabilities: np.ndarray) -> bool:
    """Return whether ``tokens`` may be draws from ``probabilities``: none from outside of them, and chi-square.

    Neighbouring tokens form groups that expect enough draws.
    """
    drawn = tokens.cpu().numpy()
    if (probabilities[drawn] == 0).any():
        return False
    groups = grouped(len(drawn) * probabilities)
    expected = len(drawn) * np.bincount(groups, probabilities)
    if len(expected) == 1:
        msg = f"{len(drawn)} draws are too few to say anything of their distribution"
        raise ValueError(msg)
    return bool(stats.chisquare(np.bincount(groups[drawn], minlength=len(expected)), expected).pvalue > FALSE_ALARM)


def grouped(expected: np.ndarray) -> np.ndarray:
    """Return each token's group; what is left at the end joins the last whole one."""
    groups, group, gathered = np.zeros(len(expected), dtype=int), 0, 0.0
    for token, each in enumerate(expected):
        groups[token] = group
        gathered += each
        if gathered >= LEAST_EXPECTED:
            group, gathered = group + 1, 0.0
    return np.minimum(groups, max(group - 1, 0))
