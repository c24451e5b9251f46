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
    before = np.cumsum(probabilities) - probabilities / 2
    groups = np.floor(before * max(1, int(len(drawn) / LEAST_EXPECTED / 2))).astype(int)
    expected = len(drawn) * np.bincount(groups, probabilities)
    counted = np.bincount(groups[drawn], minlength=len(expected))
    return bool(stats.chisquare(counted[expected > 0], expected[expected > 0]).pvalue > FALSE_ALARM)
