"""The limits of a rule on transactions: a [transaction NAME] section of the policy, compiled.

In: a Transaction and the time. Out: an Objection, or None. Raises WrongSection for a section that is wrong. Pure.

A section allows calls of one function of contracts on one chain, or transfers of ether, or the creation of contracts.
It must limit the fee, because a client that chooses gas and price can give all ether of the key to a block builder.
Without a condition on the value, no ether may be sent. Only the first four bytes of a function reach the contract, so
the operator vouches that the contract does what the signature says. Arguments are judged in canonical form only: see
abi.py.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, Sequence

from ordersigner.keccak import keccak_256
from ordersigner.payloads import typed_values
from ordersigner.payloads.abi import Function
from ordersigner.payloads.paths import ARRAY, Path
from ordersigner.payloads.payload import Payload
from ordersigner.payloads.transactions import MAX_CHAIN, ROOT, Transaction
from ordersigner.policy import open_fields
from ordersigner.policy.conditions import Access, Condition, Conditions, Field
from ordersigner.policy.entries import Entries
from ordersigner.policy.limits import Limits
from ordersigner.policy.rules import Need, Objection
from ordersigner.policy.settings import Section, Setting, address
from ordersigner.policy.terms import Amount, Term
from ordersigner.text import ELLIPSIS, listed, without_0x

_CHAIN = re.compile("[1-9][0-9]{0,18}").fullmatch
_PLAIN = re.compile(r"(value|fee)[ \t]*(?:\([^()/]*\))?").fullmatch  # of a condition, what stands left of the operator
_COMPARISONS = {"fee": ("<=",), "value": ("=", "<=", ">="), "gas": ("=", "<=", ">="), "nonce": ("=", "<=", ">=")}
# The steps of objections; conditions follow.
_ORDER_STEP, _CHAIN_STEP, _TO_STEP, _DATA_STEP, _FORM_STEP, _VALUE_STEP, _CONDITIONS_STEP = range(1, 8)
_EARLY = ("value", "fee")  # the conditions that decide before the others
# Chains whose whole fee is gas at its price. Others may take another one for the data, as Optimism and Base do.
_ONE_FEE = {1, 56, 100, 137, 42161, 43114, 11155111}
# Functions that leave an allowance: the places of the parameters for the spender and for the amount.
_ALLOWANCES = {
    "approve(address,uint256)": (0, 1),
    "increaseAllowance(address,uint256)": (0, 1),
    "setApprovalForAll(address,bool)": (0, 1),
    "approve(address,address,uint160,uint48)": (1, 2),  # Permit2
}
# The effect of functions of tokens, in words: to whom, how much, and which token.
_TOKENS = {
    "approve(address,uint256)": "that approve {1} of the token at {2} to {0}",
    "transfer(address,uint256)": "that transfer {1} of the token at {2} to {0}",
}

_PACKED = "calls or packed data that no rule looks into"
_ALLOWANCE = "an allowance that stays until it is revoked"
_MADE_OF = "how the fee is made of gas, gasPrice or maxFeePerGas, and maxPriorityFeePerGas"
_DATA_FEE = "a fee for the data that the chain may take beside gas, as Optimism and Base do"
_WHEN = "when it is sent: a transaction does not expire, and of several with one nonce any may be mined"
_AN_ORDER = (
    "This transaction could be an order of another account as well, because of its length and its bytes. Change its"
    " gas a little."
)
_FORM = (
    "needs arguments in the form that the standard encoder writes: with its offsets, lengths and padding, values that"
    " fit their types, and nothing after them, such as a suffix for attribution."
)
_NEEDED = {
    "chain": "chain: a section of transactions needs the chain's id, such as: chain = 1",
    "to": "to: a section of transactions needs the contracts, or none for their creation",
    "function": "function: a section of transactions needs it, such as: function = approve(address spender, uint256"
    " amount); or none, for transfers of ether",
    "fee": "fee: a section of transactions needs a limit on it, such as: fee(18) <= 0.01",
}


class _Number:
    """A member of a transaction that is a number."""

    array = ""

    def __init__(self, where: str, type: str, read: Callable[[Transaction], int]) -> None:
        self.where = where
        self.type = type
        self._read = read

    def values(self, payload: Any) -> list[int]:
        return [self._read(payload)]

    def place(self, payload: Any, number: int) -> str:
        return self.where


_NUMBERS = {
    "fee": _Number("gas", "uint256", lambda transaction: transaction.fee),
    "value": _Number("value", "uint256", lambda transaction: transaction.value),
    "gas": _Number("gas", "uint64", lambda transaction: transaction.gas),
    "nonce": _Number("nonce", "uint64", lambda transaction: transaction.nonce),
}


class _Fields:
    """The fields for conditions: numbers, and the arguments of a function."""

    def __init__(self, function: Function | None, contracts: int, *, may_have_value: bool) -> None:
        """contracts: how many there are. may_have_value: whether a condition says so."""
        self._function = function
        self._contracts = contracts
        self._may_have_value = may_have_value

    def field(self, path: str) -> Access:
        number = _NUMBERS.get(path)
        if number is not None:
            return number
        function, base, lengths, steps = self._way(path)
        if lengths:
            raise ValueError(ARRAY)
        if not isinstance(base, str):
            raise ValueError("this is a tuple; a member of it must follow")
        return Path(base, _same, "data", steps, lambda transaction: transaction.call(function))

    def counted(self, path: str) -> Access:
        function, base, lengths, steps = self._way(path)
        if not lengths and base not in ("string", "bytes"):
            raise ValueError("only an array, bytes or a string has a length that can be counted")
        kind, size = ("elements", len) if lengths else ("bytes", _size)
        return Path(kind, size, "data", steps, lambda transaction: transaction.call(function), counts=True)

    def _way(self, path: str) -> Any:
        first, *words = path.split(".")
        if first != "args":
            known = f"{', '.join(_NUMBERS)} and args.NAME"
            raise ValueError(f"there are {', '.join(TransactionLimits.settings)}, and conditions on {known}")
        if self._function is None:
            raise ValueError("there are no arguments without a function")
        if not words:
            raise ValueError("the name of an argument must follow, as in args.amount")
        return (self._function, *self._function.way(words))

    def check(self, term: Term, operator: str) -> None:
        sides = [side for side in (term.amount, term.divisor) if side is not None]
        for side in sides:
            path = side.path
            if path not in _NUMBERS:
                if side.decimals and self._contracts > 1:
                    raise ValueError("decimals are those of one token, so they need exactly one contract in to")
                continue
            is_amount = path == "value" or (path == "fee" and len(sides) == 1)
            if side.part or side.function or not (is_amount or term == Term(Amount(path))):
                raise ValueError(f"{path} is compared as it is" + ("" if path == "fee" else ", as a whole number"))
            if operator not in _COMPARISONS[path]:
                raise ValueError(f"{path} takes {listed(_COMPARISONS[path], 'and')} only")

    def fields(self) -> Iterator[Field]:
        if self._function is not None:
            for path, type, lengths in self._function.leaves():
                yield Field(f"args.{path}", type, lengths, _PACKED if type.startswith("bytes") else "")
        yield Field("nonce", "uint64")
        if self._may_have_value:
            yield Field("value", "uint256")


class TransactionLimits(Limits):
    """The transactions that a section allows."""

    kind = "transaction"
    settings = ("chain", "to", "function", "code")
    listed_by = "transactions"
    has_conditions = True

    def __init__(self, section: Section) -> None:
        """The settings of a section:

        chain: the chain's id. to: the contracts, or none, for creation. function: the function's signature with names,
        or none, for transfers of ether. code: with to = none, the hashes of the whole init code that is allowed.
        All others are conditions: on fee, value, gas, nonce, and args.NAME.
        """
        self._label = f"[{self.kind} {section.name}]"
        self._section = section.name
        self._chain = section.one("chain", _chain)
        self._creates = _is_none(section, "to")
        self._to = [] if self._creates else section.all("to", _contract)
        self._codes = section.all("code", _hash)
        self._function = None if _is_none(section, "function") else section.text("function", Function)
        self._check_settings(section)
        subjects = {setting: _subject(setting) for setting in section.conditions}
        self._may_have_value = "value" in subjects.values()
        if "fee" not in subjects.values():
            section.wrong(_NEEDED["fee"])
        is_told = "function" in section.settings and self._function is None and not _is_none(section, "function")
        conditions = [setting for setting in section.conditions if not (is_told and "args." in setting.path)]
        conditions.sort(key=lambda setting: (*_EARLY, "").index(subjects[setting]))
        fields = _Fields(self._function, len(self._to), may_have_value=self._may_have_value)
        self._conditions = Conditions(section, fields, f"{ROOT}.", settings=conditions, names_divisor=False)
        section.raise_if_wrong()
        self.totals = self._conditions.totals
        self._entries = Entries(self._conditions.compiled, "ORDERSIGNER_ARGUMENT")

    def _check_settings(self, section: Section) -> None:
        for name in ("chain", "to", *(() if self._creates else ("function",))):
            if name not in section.settings:
                section.wrong(_NEEDED[name])
        if self._creates and "function" in section.settings:
            section.wrong("function: with to = none a contract is created, and no function is called", "function")
        if not self._creates and "code" in section.settings:
            section.wrong("code: this is for the creation of contracts, so it needs to = none", "code")

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, Transaction)
        if payload.is_order:
            return self._objection(_ORDER_STEP, "", _AN_ORDER, "ambiguous")
        if payload.chain != self._chain:
            return self._objection(_CHAIN_STEP, ".chainId", f"{self._label} does not allow the chain {payload.chain}.")
        if self._creates if payload.to is not None else not self._creates:
            what = "only the creation of contracts" if self._creates else "no creation of contracts"
            return self._objection(_TO_STEP, ".to", f"{self._label} allows {what}.")
        if payload.to is not None and payload.to not in self._to:
            return self._objection(_TO_STEP, ".to", f"{self._label} does not allow this address: 0x{payload.to.hex()}.")
        objection = self._judge_data(payload)
        if objection is not None:
            return objection
        if payload.value and not self._may_have_value:
            return self._objection(_VALUE_STEP, ".value", f"{self._label} allows no ether to be sent.")
        return self._conditions.objection(payload, now, _CONDITIONS_STEP)

    def _judge_data(self, payload: Transaction) -> Objection | None:
        if self._function is not None:
            if payload.data[:4] != self._function.selector:
                return self._objection(_DATA_STEP, ".data", f"{self._label} allows calls of another function only.")
            if payload.call(self._function)[0] is None:
                return self._objection(_FORM_STEP, ".data", f"{self._label} {_FORM}")
        elif not self._creates:
            if payload.data:
                return self._objection(_DATA_STEP, ".data", f"{self._label} allows no calls: the data must be 0x.")
        elif self._codes and keccak_256(payload.data) not in self._codes:
            return self._objection(_DATA_STEP, ".data", f"{self._label} does not allow this code.")
        return None

    def _objection(self, step: int, place: str, message: str, code: str = "not_allowed") -> Objection:
        return Objection(step, f"{ROOT}{place}", code, message, self._section)

    def needs(self, payload: Payload) -> Sequence[Need]:
        return self._conditions.needs(payload)

    def entry(self, payload: Payload) -> tuple[str, str, tuple[str, ...]]:
        return (self.name, *self._entries.of(payload))

    def permits(self) -> list[str]:
        to = listed([f"0x{contract.hex()}" for contract in self._to]) if self._to else ""
        if self._creates:
            what = "that create contracts"
        elif self._function is None:
            what = f"to {to} without data"
        else:
            what = self._in_words(self._function, to)
        words = [f"transactions on chain {self._chain} {what}, {self._fee_in_words()}"]
        if self._function is not None:
            words.append(f"as calls of {self._function.text}")
        if self._codes:
            codes = listed([f"0x{code[:4].hex()}{ELLIPSIS}" for code in self._codes])
            words.append(f"with code whose hash is {codes}")
        return [*words, *self._conditions.permits(), *([] if self._may_have_value else ["with value 0: without ether"])]

    def _in_words(self, function: Function, to: str) -> str:
        """The effect of a call in words, which only those of tokens have: calls with an amount that has decimals."""
        pattern = _TOKENS.get(function.signature)
        paths = [f"args.{parameter.name}" for parameter in function.parameters]
        if pattern is None or not any(one.term.amount.decimals for one in self._about(paths[1])):
            return f"that call {function.text.partition('(')[0]} of {to}"
        whom, amount = map(self._words_on, paths)
        return pattern.format(whom or "anyone", amount.replace("from 0 to", "at most"), to)

    def _fee_in_words(self) -> str:
        """By the first limit on it."""
        decimals = next(one.term.amount.decimals for one in self._about("fee"))
        unit = {18: "ether", None: "wei", 0: "wei"}.get(decimals, "of its unit")
        return f"for {self._words_on('fee').replace('from 0 to', 'at most')} {unit} of fee"

    def _words_on(self, path: str) -> str:
        """What the first condition on a field as a whole says; "" if there is none."""
        return next((one.words[len(f"with {one.term} ") :] for one in self._about(path)), "")

    def _about(self, path: str) -> Iterator[Condition]:
        """The conditions on a field as a whole, with or without decimals."""
        for condition in self._conditions.compiled:
            amount = condition.term.amount
            if condition.term == Term(Amount(path, amount.decimals)):
                yield condition

    def leaves_open(self) -> list[str]:
        words = open_fields.leaves_open(self._conditions)
        if self._creates and not self._codes:
            words.append("data: any code")
        if self._leaves_allowance():
            words.append(_ALLOWANCE)
        if self._chain not in _ONE_FEE:
            words.append(_DATA_FEE)
        return [*words, _MADE_OF, "accessList", _WHEN]

    def _leaves_allowance(self) -> bool:
        """Whether an allowance can be for anyone, or for any amount."""
        places = _ALLOWANCES.get(self._function.signature) if self._function else None
        if self._function is None or places is None:
            return False
        whom, amount = (f"args.{self._function.parameters[place].name}" for place in places)
        if self._function.signature.endswith("bool)"):  # true stands for all tokens
            return not any(one.only is False for one in self._about(amount))
        is_for_one = any(one.operator == "=" for one in self._about(whom))
        return not (is_for_one and any(one.operator in ("=", "<=") for one in self._about(amount)))


def _is_none(section: Section, name: str) -> bool:
    return name in section.settings and section.settings[name].words == ["none"]


def _subject(setting: Setting) -> str:
    """The one of _EARLY that a condition limits, as a whole; "" if it limits something else."""
    match = _PLAIN(setting.path)
    return match[1] if match else ""


def _chain(word: str) -> int:
    if not _CHAIN(word) or int(word) > MAX_CHAIN:
        raise ValueError(f"a chain's id is a whole number from 1 to {MAX_CHAIN}, in decimal digits")
    return int(word)


def _contract(word: str) -> bytes:
    content = address(word)  # first: it knows what else a word can be
    typed_values.value_of("address", f"0x{without_0x(word)}")
    return content


def _hash(word: str) -> bytes:
    content = typed_values.value_of("bytes32", word)
    assert isinstance(content, bytes)
    return content


def _same(value: Any) -> Any:
    return value


def _size(value: Any) -> int:
    """In bytes, as strings are encoded."""
    return len(value.encode() if isinstance(value, str) else value)
