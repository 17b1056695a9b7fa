"""The project is written in plain modern English, and bad sentences are noticed wherever they are."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("codespell_lib")
pytest.importorskip("proselint")  # both need Python 3.10

from programs import prose

pytestmark = pytest.mark.once

BAD_SENTENCES = [
    "What it did, for whom, in words and in fields, and how it is doing.",
    "Numbers, of which those with a fraction are taken as doubles at their shortest decimal.",
    "Who comes while somebody is at work leaves its lines to a worker.",
    "A socket of its own it removes, and takes on those who are waiting there.",
    "To be rid of it, purge the package.",
    "There is no socket to serve: what systemd handed over is none.",
    "A client who waits is served.",
    "Debian 12 has not the library.",
    "The daemon shall answer.",
    "The second process wants its part too.",
    "Mend the request.",
    "The policy says which users may have what signed with it.",
    "Entries that nobody took are counted.",
    "The price of a market order binds nobody.",
    "The earlier policy stays in force.",
    "The daemon reads the file, and nothing else.",
    "An object has these keys and no others.",
    "Nothing is lost, also no entry.",
    "The signature is the same also.",
    "What was in flight is sent again.",
    "The client sends on what it was given.",
    "What is counted is never too little.",
    "So who looks later knows.",
    "This sentence has a mispelled word.",  # codespell
    "A connection may last for ever.",  # proselint
    "It is is twice.",  # proselint
]
PLACES = {
    "page.rst": "Title\n=====\n\n{}\n",
    "page.md": "# Title\n\n{}\n",
    "comment.py": "x = 1\n\n\n# {}\n",
    "docstring.py": 'def function():\n    """{}"""\n',
    "comment.mjs": "const address = 'http://a'; // {}\n",
    "error.py": 'raise ValueError(f"{{name}}: {}")\n',
    "script": "#!/bin/sh\n# {}\nexit 0\n",
    "unit.service": "[Service]\n# {}\nType=notify\n",
    "venue.policy": "[rule a]\n# {}\nusers = somebody\n",
}


def findings(directory: Path, name: str, text: str) -> list[prose.Finding]:
    (directory / name).write_text(text)
    return prose.check({name: prose.prose_of(directory / name)})


def test_the_language_is_plain() -> None:
    files = {str(file.relative_to(prose.SOURCE)): prose.prose_of(file) for file in prose.everything()}
    expected = {
        "README.rst",
        "docs/develop/changelog.rst",
        "docs/man/ordersignerd.rst",
        "ordersigner/serving/server.py",
        "tests/run",
    }
    assert expected | {"packaging/systemd/ordersigner.service", "packaging/debian/ordersigner.postinst"} <= set(files)
    assert [str(finding) for finding in prose.check(files)] == []


@pytest.mark.parametrize("sentence", BAD_SENTENCES)
def test_a_bad_sentence_is_found(sentence: str, tmp_path: Path) -> None:
    assert [finding.line for finding in findings(tmp_path, "page.rst", f"Title\n=====\n\n{sentence}\n")][:1] == [4]


@pytest.mark.parametrize("name", PLACES)
def test_a_bad_sentence_is_found_in_every_kind_of_file(name: str, tmp_path: Path) -> None:
    text = PLACES[name].format("A client who waits shall be served.")
    line = text[: text.index("A client")].count("\n") + 1
    assert [(found.file, found.line) for found in findings(tmp_path, name, text)] == [(name, line)] * 2


SHORT = "It waits. It reads `a line`. It ends.\nThe next sentence is longer than eight words, and ends the row.\n"


@pytest.mark.parametrize("name", ["page.rst", "page.md"])
def test_short_sentences_in_a_row_are_found_on_a_page(name: str, tmp_path: Path) -> None:
    (found,) = findings(tmp_path, name, f"Title\n\n- One.\n- Two.\n- Three.\n\n{SHORT}")
    assert found.line == 7
    assert "3 short sentences in a row" in found.message
    for parted in ("It waits. It reads.\n\nIt ends. So does this.\n", "- It waits. It reads.\n- It ends.\n"):
        assert findings(tmp_path, name, parted) == []
    assert findings(tmp_path, "comment.py", f'"""{SHORT}"""\n') == []


def test_a_phrase_is_found_across_lines(tmp_path: Path) -> None:
    text = "# A comment that goes on in the next line, of which\n# the second half is here.\n"
    assert [found.line for found in findings(tmp_path, "comment.py", text)] == [1]


def test_code_is_not_read_as_prose(tmp_path: Path) -> None:
    page = "Run ``shall``::\n\n    shall mend\n\n.. code-block:: sh\n\n   shall mend\n\nThis is prose again.\n"
    assert findings(tmp_path, "page.rst", page) == []
    assert findings(tmp_path, "module.py", "shall = mend\n# `shall` is a name here.\nmend = r'shall'\n") == []
    assert [found.line for found in findings(tmp_path, "page.rst", page + "\nIt shall.\n")] == [11]
    assert [found.line for found in findings(tmp_path, "page.md", "```\nshall mend\n```\nIt shall.\n")] == [4]
