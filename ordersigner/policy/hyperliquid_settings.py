"""The settings of a [hyperliquid NAME] section: the reader of each, and the words for what it allows.

In: a Section, which collects the mistakes. Out: its limits, by the names of the settings, without those that are absent
or wrong. hyperliquid_actions.py says which fields each of them limits.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Callable, NamedTuple, Sequence

from ordersigner.payloads.hyperliquid import SOURCES
from ordersigner.policy.hyperliquid_checks import GROUPINGS, MARGINS, NOTIONAL_DECIMALS, SIDES, TIFS, TRIGGERS, YES_NO
from ordersigner.policy.rules import Total, total_in_words
from ordersigner.policy.settings import MAX_TOTAL, Section, address, amount, amount_in_span, choice, number
from ordersigner.text import listed

TOTAL = "max-total-notional"
MULTI_SIG = "multi-sig"
MAX_ASSET = 2**32 - 1
MAX_PARTS = 2048  # orders or cancellations that a setting may allow in an action
MAX_SECONDS = 10**9
MAX_MINUTES = 10**6
NONE = "none"
RANGES = (("min-price", "max-price"), ("min-trigger-price", "max-trigger-price"))


class Setting(NamedTuple):
    """How a setting is read, and what it allows in words. read: None for one that is absent or wrong."""

    read: Callable[[Section, str], Any]
    words: Callable[[Any], str]


def limits_of(section: Section) -> dict[str, Any]:
    """The limits that the settings of a section set."""
    values = {name: setting.read(section, name) for name, setting in SETTINGS.items()}
    limits = {name: value for name, value in values.items() if value is not None}
    if TOTAL in limits:
        limits[TOTAL] = limits[TOTAL]._replace(section=section.name, kind=section.kind)
    return limits


# Readers
def _each(read: Callable[[str], Any]) -> Callable[[Section, str], Any]:
    return lambda section, name: section.all(name, read) or None


def _one(read: Callable[..., Any], size: int = 1, form: str = "") -> Callable[[Section, str], Any]:
    return lambda section, name: section.one(name, read, size, form)


def _or_none(words: Sequence[str]) -> Callable[[Section, str], Any]:
    """Some of the words, or "none" alone, which is an empty list."""

    def read(section: Section, name: str) -> list[str] | None:
        found = section.all(name, choice((*words, NONE)))
        if NONE not in found:
            return found or None
        if len(found) > 1:
            section.wrong(f"{name}: with none there can be no other word", name)
        return []

    return read


def _decimal(word: str) -> Decimal:
    return Decimal(amount(word).text)


def _percent(word: str) -> Decimal:
    percent = _decimal(word)
    if percent > 100:
        raise ValueError("a percentage is at most 100")
    return percent


def _builder(text: str) -> tuple[bytes, Decimal]:
    """Its address, and the highest fee in percent; of "none" an empty address."""
    words = text.split()
    if words == [NONE]:
        return b"", Decimal(0)
    if len(words) != 2 or words[1][-1] != "%":
        raise ValueError("expected none, or an address and the highest fee in percent, such as 0x2222…2222 0.01%")
    return address(words[0]), _percent(words[1][:-1])


def _vault(word: str) -> str:
    return NONE if word == NONE else f"0x{address(word).hex()}"


def _multi_sig(user: str, outer_signer: str) -> tuple[bytes, bytes]:
    return address(user), address(outer_signer)


def _minutes(least: str, most: str) -> tuple[int, int]:
    read = number(1, MAX_MINUTES, "a number of minutes")
    if read(least) > read(most):
        raise ValueError("the first number is the least and the second one the most, so it must not be smaller")
    return read(least), read(most)


def _total(word: str) -> Total:
    limit, seconds = amount_in_span(word)
    units = limit.numerator * 10**NOTIONAL_DECIMALS // limit.denominator
    if units > MAX_TOTAL:
        raise ValueError("an amount as large as this one does not fit a total")
    return Total("", TOTAL, seconds, units, NOTIONAL_DECIMALS)


_seconds = number(1, MAX_SECONDS, "a number of seconds")
_parts = number(1, MAX_PARTS, "the number")
_yes_or_no = _each(choice(YES_NO))


# Words
def _around(before: str, after: str = "") -> Callable[[Any], str]:
    """Words around an amount, a number, or the words that are allowed."""

    def words(value: Any) -> str:
        text = listed(value) if type(value) is list else f"{value:f}" if type(value) is Decimal else str(value)
        return f"{before} {text}{after}"

    return words


def _if_any(before: str, otherwise: str) -> Callable[[Any], str]:
    return lambda value: _around(before)(value) if value else otherwise


def _if_yes(yes: str, no: str) -> Callable[[Any], str]:
    return lambda value: {"yes": yes, "no": no}[value[0]] if len(value) == 1 else f"{yes}, or {no}"


def _vault_words(value: Sequence[str]) -> str:
    return (
        f"for {listed('the account itself' if each == NONE else f'the vault or sub-account {each}' for each in value)}"
    )


def _multi_sig_words(value: Sequence[bytes]) -> str:
    user, outer_signer = (f"0x{each.hex()}" for each in value)
    return f"as a signature for the multi-sig user {user}, with the outer signer {outer_signer}"


def _builder_words(value: tuple[bytes, Decimal]) -> str:
    builder, fee = value
    words = "without a builder"
    return f"{words}, or with 0x{builder.hex()} for a fee from 0 to {fee:f} %" if builder else words


SETTINGS: dict[str, Setting] = {
    "network": Setting(_each(choice(SOURCES)), _around("on")),
    "vault": Setting(_each(_vault), _vault_words),
    MULTI_SIG: Setting(_one(_multi_sig, 2, "USER OUTER-SIGNER, two addresses"), _multi_sig_words),
    # Of orders
    "assets": Setting(
        _each(number(0, MAX_ASSET, "an asset")),
        lambda value: _around("in the assets" if len(value) > 1 else "in asset")(value),
    ),
    "sides": Setting(_each(choice(SIDES)), _around("to")),
    "max-size": Setting(_one(_decimal), _around("of at most", " in each order, and not of zero")),
    "min-price": Setting(_one(_decimal), _around("at a price of at least")),
    "max-price": Setting(_one(_decimal), _around("at a price of at most")),
    "max-notional": Setting(_one(_decimal), _around("with size times price at most", " in each order")),
    TOTAL: Setting(_one(_total), lambda value: total_in_words(value, "size times price")),
    "max-orders": Setting(
        _one(_parts), lambda value: f"with at most {value} order{'' if value == 1 else 's'} in an action"
    ),
    "reduce-only": Setting(_yes_or_no, _if_yes("that only reduce a position", "that are not reduce-only")),
    "tif": Setting(_or_none(TIFS), _if_any("as limit orders with the time in force", "without limit orders")),
    "triggers": Setting(_or_none(TRIGGERS), _if_any("as triggers of the kind", "without triggers")),
    "min-trigger-price": Setting(_one(_decimal), _around("at a trigger's price of at least")),
    "max-trigger-price": Setting(_one(_decimal), _around("at a trigger's price of at most")),
    "groupings": Setting(_each(choice(GROUPINGS)), _around("with the grouping")),
    "max-priority": Setting(_one(_percent), _around("perhaps with a fee for priority from 0 to", " %")),
    "builder": Setting(lambda section, name: section.text(name, _builder), _builder_words),
    "always-place": Setting(_yes_or_no, _if_yes("always placed, or not (a)", "not always placed (a)")),
    # Of cancellations
    "max-cancels": Setting(
        _one(_parts), lambda value: f"with at most {value} cancellation{'' if value == 1 else 's'} in an action"
    ),
    "fast-cancel": Setting(_yes_or_no, _if_yes("cancelled fast, or not (f)", "not cancelled fast (f)")),
    "schedule within": Setting(_one(_seconds), _around("for a time between now and", " seconds from now")),
    # Of leverage and margin
    "margin": Setting(_each(choice(MARGINS)), _around("with margin that is")),
    "max-leverage": Setting(_one(_decimal), _around("with a leverage of at most")),
    "max-add-margin": Setting(_one(_decimal), _around("adding at most", " dollars of margin")),
    "max-remove-margin": Setting(_one(_decimal), _around("removing at most", " dollars of margin")),
    # Of TWAPs
    "twap-minutes": Setting(
        _one(_minutes, 2, "LEAST MOST, such as 10 60"), lambda span: "over {} to {} minutes".format(*span)
    ),
    "twap-randomize": Setting(_yes_or_no, _if_yes("at random times", "at times that are not random")),
    # Of all
    "clock": Setting(_one(_seconds), _around("with a nonce at most", " seconds before or after now")),
    "expires within": Setting(_one(_seconds), _around("that expire between now and", " seconds from now")),
}
