"""The words of a mnemonic of BIP-39.

In: what a user gave. Out: the same words as their key is derived from them, if they are a mnemonic in a language that
eth-account knows. Raises Problem, which names the position of a word and never the word.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256

from ordersigner.keytool import forms
from ordersigner.keytool.problem import Problem
from ordersigner.text import listed

COUNTS = (12, 15, 18, 21, 24)  # of words; source: BIP-39
_ABBREVIATION = 4  # letters that tell the words of a list apart; source: BIP-39
_WORDS_FROM = 6  # from this many words on, a text is meant as a mnemonic, right or wrong
_WORD = re.compile(r"\b(?!x?[0-9A-Fa-f]+\b)[^\W\d]+\b")  # of letters alone: no part of base64, base58 or a hex dump


def looks_like(text: str) -> bool:
    """Whether a text is probably a mnemonic, right or wrong."""
    return len(_WORD.findall(unicodedata.normalize("NFKC", text).replace("_", " "))) >= _WORDS_FROM


def checked(text: str) -> str:
    """The words in lower case and in Unicode's NFKD, with single blanks between them.

    Words in upper case are taken, as wallets take them. The lists have lower case alone, so case says nothing here.
    """
    if re.search(r"[\d_]|[^\w\s]", unicodedata.normalize("NFKC", text)):
        raise Problem(
            "give the words of the mnemonic alone, in their order and with blanks between them: "
            "leave out numbers, commas, quotes and the like, and characters that are not shown"
        )
    words = unicodedata.normalize("NFKD", text).lower().split()
    if len(words) not in COUNTS:
        raise Problem(f"a mnemonic has {listed(COUNTS)} words, and these are {len(words)}")
    lists = {
        language: {word: index for index, word in enumerate(known)} for language, known in forms.word_lists().items()
    }
    unknown = {
        language: [position for position, word in enumerate(words, 1) if word not in known]
        for language, known in lists.items()
    }
    nearest = min(unknown, key=lambda language: len(unknown[language]))
    if len(unknown[nearest]) > len(words) // 2:
        if all(word.isascii() and len(word) <= _ABBREVIATION for word in words):
            raise Problem("these may be the first letters of the words, as metal plates have them: give whole words")
        raise Problem(
            f"no list that eth-account has contains most of these words: {listed(map(_named, sorted(lists)), 'and')}. "
            "For a mnemonic in another language, export the private key from the wallet and import that"
        )
    if unknown[nearest]:
        one = len(unknown[nearest]) == 1
        which = f"word {unknown[nearest][0]} is" if one else f"words {listed(unknown[nearest], 'and')} are"
        raise Problem(f"{which} not in the list of the language, {_named(nearest)}: check the spelling")
    if not any(
        _checksum_fits([lists[language][word] for word in words]) for language in lists if not unknown[language]
    ):
        raise Problem(
            "each of these words is in the list, but together they do not pass the check of BIP-39: "
            "one is another word, or two changed places, or a program with a check of its own made them"
        )
    return " ".join(words)


def _checksum_fits(indices: list[int]) -> bool:
    """Whether the last bits of the words are the first ones of the others' hash. Source: BIP-39."""
    bits = "".join(f"{index:011b}" for index in indices)
    size = len(bits) * 32 // 33  # bits of entropy
    digest = sha256(int(bits[:size], 2).to_bytes(size // 8, "big")).digest()
    return f"{digest[0]:08b}".startswith(bits[size:])


def _named(language: str) -> str:
    return language.capitalize().replace("_", " ")
