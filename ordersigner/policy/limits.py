"""The interface between reader.py and a kind of limits: the settings of its sections, and those that it has in rules.

A new kind of request needs a subclass of Limits, and its line in kinds.py. compile() and judges() report every mistake
with section.wrong(), and then raise WrongSection.
"""

from __future__ import annotations

from typing import Any, ClassVar, Mapping, Sequence

from ordersigner.payloads.payload import Payload
from ordersigner.policy.rules import Judge, Need, Total
from ordersigner.policy.settings import Section, section_of


class Limits:
    """The limits of a kind of section.

    By default each section becomes an object of this class, which must then be a Judge. Those of orders differ: their
    sections are markets, and each rule makes a judge of its own. Its entry() has to say which market it was.
    """

    kind: ClassVar[str]  # of sections: "message" for [message NAME]
    settings: ClassVar[tuple[str, ...]]  # of these sections, but for the paths of fields
    listed_by: ClassVar[str]  # the setting of a rule that lists such sections: "messages"
    rule_settings: ClassVar[tuple[str, ...]] = ()  # others of a rule, which need `listed_by`
    has_any: ClassVar[bool] = False  # whether `listed_by` may say "any", so that no section can have this name

    has_conditions: ClassVar[bool] = False  # whether lines of these sections that are no settings are conditions

    totals: Sequence[Total] = ()
    name: str  # of the section, set by compile(). A judge that is made otherwise has none, and entry() fails.

    def __init__(self, section: Section) -> None:
        """Raises WrongSection."""
        raise NotImplementedError

    @classmethod
    def compile(cls, section: Section) -> Any:
        """A section of this kind, as judges() needs it. Raises WrongSection."""
        limits = cls(section)
        limits.name = section.name
        return limits

    @classmethod
    def judges(cls, rule: Section, sections: Mapping[str, Any]) -> Sequence[Judge]:
        """The judges for a rule with the setting `listed_by`, one of which must allow a request. Raises WrongSection.

        sections: what compile() returned, by the sections' names; None for one that is wrong.
        """
        chosen = rule.all(cls.listed_by, section_of(cls.kind, sections))
        return [judge for judge in chosen if judge is not None]

    @property
    def title(self) -> str:
        """As Judge.title."""
        return f"[{self.kind} {self.name}]"

    def needs(self, payload: Payload) -> Sequence[Need]:
        """As Judge.needs()."""
        return ()

    def entry(self, payload: Payload) -> tuple[str, str, tuple[str, ...]]:
        """As Judge.entry()."""
        return self.name, "", ()
