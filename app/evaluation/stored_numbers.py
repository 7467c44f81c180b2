"""Error rates with the 8-bit numbers of stored templates, beside those with the engine's own numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from app.evaluation.rates import RULE_OF_THREE, round_rate
from app.evaluation.scores import ComparisonSource, Floats
from app.faces.vectors import LABEL_BYTES, NumberForm, pack, unpack

MOST_RAISED: Final = 1.1
"""A rate that rises more by rounding is a reason for a warning. The engines that ship stay far below."""
_LABEL: Final = "00" * LABEL_BYTES


def compare_stored_numbers(source: ComparisonSource, thresholds: Sequence[float]) -> dict[str, Any]:
    """Return the rates at each of *thresholds* with exact and with stored references, and the changed decisions.

    The first image of each comparison is the reference: its vector is packed and unpacked as a template's is. The probe
    keeps its own numbers, as in the service.
    """
    stored = replace(source, references=_stored(source.vectors))
    errors = np.zeros((len(thresholds), 2, 2), dtype=np.int64)
    changed, pairs, moved = np.zeros(len(thresholds), dtype=np.int64), np.zeros(2, dtype=np.int64), 0.0
    for exact, rounded in zip(source.batches(), stored.batches(), strict=True):
        pairs += np.count_nonzero(~exact.same), np.count_nonzero(exact.same)
        moved = max(moved, float(np.abs(exact.distance - rounded.distance).max(initial=0)))
        for place, threshold in enumerate(thresholds):
            matches = exact.distance < threshold, rounded.distance < threshold
            changed[place] += np.count_nonzero(matches[0] != matches[1])
            for form, match in enumerate(matches):
                errors[place, form] += np.count_nonzero(match & ~exact.same), np.count_nonzero(~match & exact.same)
    rates = errors / pairs
    return {
        "bytes": _sizes(source.vectors.shape[1]),
        "largest_change_of_distance": round_rate(moved),
        "at": [
            {
                "threshold": threshold,
                **{
                    form.value: dict(zip(("fmr", "fnmr"), map(round_rate, rates[place, number]), strict=True))
                    for number, form in enumerate((NumberForm.FLOAT64, NumberForm.INT8))
                },
                "changed_decisions": int(changed[place]),
            }
            for place, threshold in enumerate(thresholds)
        ],
    }


def find_costly_threshold(document: Mapping[str, Any]) -> float | None:
    """Return a threshold at which stored numbers raise an error rate by more than a tenth; None if there is none."""
    exact, rounded = NumberForm.FLOAT64.value, NumberForm.INT8.value
    for one in document["at"]:
        raised = any(one[rounded][rate] > MOST_RAISED * one[exact][rate] for rate in ("fmr", "fnmr"))
        if raised and one["changed_decisions"] >= RULE_OF_THREE:
            return float(one["threshold"])
    return None


def _stored(vectors: Floats) -> Floats:
    packed = (pack(row, weights_sha256=_LABEL) for row in vectors.tolist())
    return np.array([unpack(one).vector for one in packed], dtype=np.float64).reshape(vectors.shape)


def _sizes(dimensions: int) -> dict[str, int]:
    """Return the bytes of a template in each form, before it is sealed."""
    int8 = len(pack((1.0,) * dimensions, weights_sha256=_LABEL))
    return {NumberForm.FLOAT64.value: LABEL_BYTES + 8 * dimensions, NumberForm.INT8.value: int8}
