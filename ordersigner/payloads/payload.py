"""The members of every kind of payload, and the form in which a request carries it.

A module of this folder reads one kind. It makes a Payload: the digest to sign, and the facts that a rule judges and the
journal tells. Its FORM says which members such a request has. policy/kinds.py has the forms by the request's type.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Protocol


class Payload(Protocol):
    """The data that a request asks to sign."""

    @property
    def type(self) -> str: ...

    @property
    def digest(self) -> bytes: ...

    def entry(self) -> tuple[str, tuple[str, ...]]:
        """What the journal says about it: words that "Signed" comes before and the signer after, and fields.

        A client's text goes into either as entered() gives it.
        """


class Unreadable(Exception):
    """A payload does not have the value that a condition of the policy is about, so it is not allowed.

    place: that of the field or the array at fault, such as message.offer. wanted: in words, such as "element 2 of this
    array".
    """

    def __init__(self, place: str, wanted: str) -> None:
        super().__init__(place)
        self.place = place
        self.wanted = wanted


class Form(NamedTuple):
    """How a request carries one kind of payload.

    read: from the request's members to the payload; raises Refusal.
    members: those that the request must have in addition to type and signer, with their JSON type; they must not be
    empty.
    optional: others that it may have. read() knows which of them it needs.
    check_signer: for a payload that names its signer. Takes the address that will sign, and raises Refusal for another.
    response: the members that the response has beside the signature, which it takes as 0x, r, s and v in hex.
    recorded: those of them that the entry of the journal has too, each as a field of its own.
    also: members that may have another JSON type as well. read() knows when.
    """

    read: Callable[[Mapping[str, Any]], Payload]
    members: Mapping[str, type]
    optional: tuple[str, ...] = ()
    check_signer: Callable[[Any, str], None] | None = None
    response: Callable[[Any, str], Mapping[str, object]] | None = None
    recorded: tuple[str, ...] = ()
    also: Mapping[str, type] = {}
