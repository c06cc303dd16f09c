"""Exact numbers: an amount, price, quantity or rate is an integer count of 1e-8. No floats."""

from decimal import ROUND_HALF_EVEN, Decimal

UNIT = 10**8


def units(text):
    """Of decimal text; what goes beyond the eighth place is rounded half to even."""
    return int((Decimal(text) * UNIT).to_integral_value(rounding=ROUND_HALF_EVEN))


def text(n):
    """Back to decimal text, without an exponent and without zeros at the end."""
    sign, (whole, part) = "-" if n < 0 else "", divmod(abs(n), UNIT)
    return sign + (f"{whole}.{part:08d}".rstrip("0").rstrip("."))


def half_even(numerator, denominator):
    floor, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return floor + (1 if twice > denominator or (twice == denominator and floor % 2) else 0)


def down(numerator, denominator):
    return numerator // denominator


def up(numerator, denominator):
    return -(-numerator // denominator)


def times(a, b):
    """The product of two numbers, half to even: a notional, a fee, a funding, a share."""
    return half_even(a * b, UNIT)
