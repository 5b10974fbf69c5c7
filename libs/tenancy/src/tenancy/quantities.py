"""Amounts as Kubernetes writes them."""

import re
from collections.abc import Mapping
from decimal import Decimal

QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,2}))?")
UNITS: Mapping[str, Decimal] = {
    **{
        unit: Decimal(10) ** (3 * power)
        for power, unit in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
    },
    **{f"{unit}i": Decimal(2) ** (10 * power) for power, unit in enumerate("KMGTPE", 1)},
}


def quantity(text: str) -> Decimal:
    """Return the number behind a Kubernetes quantity: cores, bytes or a count; raises ValueError."""
    match = QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f'{text!r} is no quantity such as "500m", "2" or "4Gi"')
    number, unit, exponent = match.groups()
    return Decimal(number) * (Decimal(10) ** int(exponent) if exponent else UNITS[unit or ""])
