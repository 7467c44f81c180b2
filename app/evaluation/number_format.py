"""Numbers as people read them, in the page, its figures and the command's answer."""

from typing import Final

from app.evaluation.rates import RULE_OF_THREE

_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_SMALL: Final = 1e-3


def rate(value: float | None) -> str:
    """Write a rate as people read it: per cent, and powers of ten where per cent has many zeros."""
    if value is None:
        return "not known"
    if value == 0:
        return "none seen"
    if value >= _SMALL:
        return f"{float(f'{100 * value:.2g}'):g} %" if value < 1 else "100 %"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits} {_TIMES} 10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def bounds(both: list[float] | None) -> str:
    """Write an interval."""
    return "no interval" if both is None else f"{plain(both[0])} to {plain(both[1])}"


def whole(number: int) -> str:
    """Write a whole number with its thousands apart."""
    return f"{number:,}".replace(",", "\N{NO-BREAK SPACE}")


def seen(value: float, pairs: int) -> str:
    """Write a rate out of *pairs*, unless fewer than three were seen: then no rate can be stated."""
    if round(value * pairs) < RULE_OF_THREE:
        return f"fewer than {RULE_OF_THREE} in {whole(pairs)}"
    return rate(value)


def plain(value: float) -> str:
    """Write a bound or a mark on an axis, where 0 is a number."""
    return "0" if value == 0 else rate(value)
