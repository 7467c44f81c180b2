"""Formats numbers for readers of the page, its figures and the command's output."""

import math
from typing import Final

from app.evaluation.rates import RULE_OF_THREE

_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_SMALL: Final = 1e-3


def rate(value: float | None) -> str:
    """Format a rate in per cent, or as a power of ten below 0.1 %."""
    if value is None:
        return "not known"
    if value == 0:
        return "none seen"
    if value >= _SMALL:
        return f"{float(f'{100 * value:.2g}'):g} %" if value < 1 else "100 %"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits} {_TIMES} {_power_of_ten(int(exponent))}"


def bounds(both: list[float] | None) -> str:
    """Format an interval."""
    return "no interval" if both is None else f"{plain(both[0])} to {plain(both[1])}"


def whole(number: int) -> str:
    """Format a whole number with spaces between thousands."""
    return f"{number:,}".replace(",", "\N{NO-BREAK SPACE}")


def seen(value: float, pairs: int) -> str:
    """Format a rate among *pairs*. With fewer than three events no rate is stated."""
    if round(value * pairs) < RULE_OF_THREE:
        return f"fewer than {RULE_OF_THREE} in {whole(pairs)}"
    return rate(value)


def tick(value: float) -> str:
    """Format a power of ten on a logarithmic axis, as short as possible."""
    exponent = round(math.log10(value))
    return _power_of_ten(exponent) if value < _SMALL else rate(value)


def _power_of_ten(exponent: int) -> str:
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def plain(value: float) -> str:
    """Format a bound or a label of a linear axis, where 0 is a number."""
    return "0" if value == 0 else rate(value)
