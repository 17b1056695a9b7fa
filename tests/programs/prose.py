"""Checks the language of the project: documentation, comments, docstrings and error texts.

    python tests/programs/prose.py [FILE...]

Prints a line for each finding and exits with status 1 if there are any. Without arguments it checks every file of the
checkout. codespell finds typos. proselint finds mistakes of style that books on usage agree on. Our own list in
vocabulary.txt has phrases that do not belong in plain technical English, each with a better one. On pages, strings of
very short sentences are found as well. The checkers see only the prose of a file, on the lines where it is, because
everything else is blanked out.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]

# Data, license texts, drawings, and the two files that have to show bad phrases.
EXCLUDED = re.compile(
    r"tests/(corpus|vectors)/|LICENSE|.*copyright|.*\.svg|tests/programs/(vocabulary\.txt|test_prose\.py)"
)

PROSELINT = {
    "max_errors": 1000,
    # proselint has no opinion on these, so that its others can be trusted: we quote code, with straight quotes and
    # three dots; "very" and "TODO" are no errors.
    "checks": dict.fromkeys(("typography", "weasel_words", "hedging", "annotations", "restricted"), False),
}
# Mistakes in a text, and usual in code and in settings: a word that comes twice, names such as orderly-key, and the end
# of "uint256 amount".
USUAL_IN_CODE = ("lexical illusion", "No hyphen is necessary", "lowercase 'a.m.'")
NO_TYPOS = "alo,amountin,fpr,hte,ure"  # words that codespell takes for typos

PAGES = (".rst", ".md")
# On a page, so many sentences in a row of at most so many words belong together.
MANY_SENTENCES, FEW_WORDS = 3, 8
SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[^a-z])")
ITEM = re.compile(r"\s*(?:(?:[-*|]|\d+\.|#+) +)+")  # the mark of a list, or of a line

# In reStructuredText: what begins a block of something else than prose, and code inside a sentence.
BLOCK = re.compile(r"^( *)(?:\.\. (?:code-block|raw|highlight|toctree|venue|auto\w+)::.*|\.\. _.*|.*::)$")
CODE = re.compile(r"``.+?``|:\w+:`[^`]+`|`[^`\n]+`", re.DOTALL)
PYTHON = ("COMMENT", "STRING", "FSTRING_MIDDLE")  # names of the tokens that hold prose


class Finding(NamedTuple):
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class Phrase(NamedTuple):
    """A line of the vocabulary."""

    pattern: re.Pattern[str]
    advice: str


def main(arguments: list[str]) -> int:
    files = [Path(argument).resolve() for argument in arguments] or everything()
    findings = check({str(file.relative_to(SOURCE)): prose_of(file) for file in files})
    for finding in findings:
        print(finding)
    return 1 if findings else 0


def everything() -> list[Path]:
    """All files of the checkout that can hold prose of ours, whether or not they are committed."""
    listed = subprocess.run(
        ["git", "-C", str(SOURCE), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    ).stdout.split("\0")
    return [SOURCE / name for name in listed if (SOURCE / name).is_file() and not EXCLUDED.match(name)]


def prose_of(file: Path) -> str:
    """The text of a file without everything that is no prose, so that the lines keep their numbers."""
    text = file.read_text()
    if file.suffix == ".rst":
        return _blank_code(_blank_blocks(text))
    if file.suffix == ".md":
        return _blank_code(re.sub(r"^```.*?^```$", _only_newlines, text, flags=re.MULTILINE | re.DOTALL))
    return re.sub("[ \t]+", " ", _prose_of_code(file, text))  # the checkers are slow with long lines


def _prose_of_code(file: Path, text: str) -> str:
    if file.suffix == ".py" or text.startswith("#!/usr/bin/python"):
        return _blank_code(_strings_and_comments(text))
    if file.suffix == ".policy":
        text = re.sub("^[^#\n].*", "", text, flags=re.MULTILINE)  # a type such as "uint160 amount" is no time of day
    if file.suffix in (".go", ".mjs", ".rs"):
        comments = re.sub(r"^.*?(?:(?<!\S)//|$)", lambda code: " " * len(code[0]), text, flags=re.MULTILINE)
        return _blank_code(comments)
    # Shell scripts, units and other settings: a line of theirs is seldom taken for a sentence.
    return _blank_code(re.sub(r"^[ \t]*#+!?", lambda mark: " " * len(mark[0]), text, flags=re.MULTILINE))


def check(prose: dict[str, str]) -> list[Finding]:
    """All findings, sorted by file and line. prose: what prose_of() returns, by the name of the file."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for name, text in prose.items():
            copy = root / f"{name}.txt"  # the name that both tools take for prose
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
        tools = [*codespell(root), *proselint(root)]
    ours = (
        finding
        for name, text in prose.items()
        for find in (vocabulary, short_sentences)
        for finding in find(name, text)
    )
    return sorted({*tools, *ours})


def vocabulary(name: str, text: str) -> Iterator[Finding]:
    """What our own list finds."""
    for phrase in PHRASES:
        for match in phrase.pattern.finditer(text):
            yield Finding(name, text.count("\n", 0, match.start()) + 1, f'"{_one_line(match[0])}": {phrase.advice}')


def short_sentences(name: str, text: str) -> Iterator[Finding]:
    """Strings of short sentences in a paragraph of a page."""
    for line, paragraph in _paragraphs(text) if name.endswith(PAGES) else ():
        run: list[str] = []
        for sentence in [*SENTENCES.split(paragraph), ""]:
            if re.search(r"[.!?]\W*$", sentence) and len(sentence.split()) <= FEW_WORDS:
                run.append(sentence)
                continue
            if len(run) >= MANY_SENTENCES:
                advice = f"{len(run)} short sentences in a row: join those that belong together"
                yield Finding(name, line, f'"{_one_line(run[0])}": {advice}')
            run = []


def codespell(root: Path) -> Iterator[Finding]:
    """What codespell finds in the files below `root`."""
    command = [sys.executable, "-m", "codespell_lib", "--ignore-words-list", NO_TYPOS, str(root)]
    yield from _findings(command, root, {0, 65}, r"(.+)\.txt:(\d+): (.+)")


def proselint(root: Path) -> Iterator[Finding]:
    """What proselint finds in the files below `root`."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump(PROSELINT, config)
        config.flush()
        command = [sys.executable, "-m", "proselint", "check", "--config", config.name, str(root)]
        for finding in _findings(command, root, {0, 1}, r"(.+)\.txt:(\d+):\d+: [\w.]+: (.+)"):
            if finding.file.endswith(".rst") or not any(usual in finding.message for usual in USUAL_IN_CODE):
                yield finding


def _findings(command: list[str], root: Path, statuses: set[int], pattern: str) -> Iterator[Finding]:
    """The lines that `command` prints, as findings. statuses: its exit status without and with findings."""
    ended = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    output = ended.stdout + ended.stderr
    if ended.returncode not in statuses:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output}")
    for line in output.splitlines():
        match = re.fullmatch(pattern, line)
        if match:
            yield Finding(str(Path(match[1]).relative_to(root)), int(match[2]), match[3])


def _blank_blocks(text: str) -> str:
    """reStructuredText without its literal blocks and directives."""
    lines = []
    block: int | None = None  # the indentation of the line that began a block
    for line in text.split("\n"):
        indentation = len(line) - len(line.lstrip())
        if block is not None and line.strip() and indentation <= block:
            block = None
        begins = BLOCK.match(line) if block is None else None
        is_prose = block is None and not (begins and line.lstrip().startswith(".."))
        lines.append(line if is_prose else "")
        if begins:
            block = len(begins[1])
    return "\n".join(lines)


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """The paragraphs of a page with the line where each begins: an item of a list and a definition are their own."""
    found: list[str] = []
    first, margin = 1, 0
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        mark = ITEM.match(line)
        begins = len(mark[0]) if mark else len(line) - len(line.lstrip())
        if found and (mark or not line.strip() or begins != margin):
            yield first, " ".join(found)
            found = []
        if line.strip():
            first, margin = first if found else number, begins
            found.append(line[begins:].strip())


def _only_newlines(block: re.Match[str]) -> str:
    return "\n" * block[0].count("\n")


def _strings_and_comments(text: str) -> str:
    """Python without its code. Of neighboring comments, the marks are blanked out too: they are one text."""
    lines = text.split("\n")
    kept = [" " * len(line) for line in lines]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if tokenize.tok_name[token.type] not in PYTHON or token.string.lower().startswith(
            ("r'", 'r"', "b'", 'b"', "rb", "br")
        ):
            continue
        (first, start), (last, end) = token.start, token.end
        for number in range(first, last + 1):
            line = lines[number - 1]
            left, right = (start if number == first else 0), (end if number == last else len(line))
            kept[number - 1] = kept[number - 1][:left] + line[left:right].replace("#", " ") + kept[number - 1][right:]
    return "\n".join(kept)


def _blank_code(text: str) -> str:
    """`text` with a made-up word of the same length for each piece of code, so that "`a` or `b`" stays three words.

    No two neighbors are the same, since a repeated word is a finding.
    """
    letters = itertools.cycle("xz")

    def word(code: re.Match[str]) -> str:
        letter = next(letters)
        return re.sub(r"[^\n]", letter, code[0])

    return CODE.sub(word, text)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _read_vocabulary(path: Path) -> Iterator[Phrase]:
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, arrow, advice = line.partition(" -> ")
            if not arrow:
                raise ValueError(f"{path}: no arrow in {line!r}")
            pattern = pattern.replace(" ", r"\s+")
            start = r"(?<!\w)" if re.match(r"[\w(]", pattern) else ""
            yield Phrase(re.compile(rf"{start}(?:{pattern})(?!\w)", re.IGNORECASE), advice)


PHRASES = tuple(_read_vocabulary(HERE / "vocabulary.txt"))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
