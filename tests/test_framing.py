"""Bytes to lines, whatever the chunks they come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordersigner.framing import MAX_LINE, LineBuffer, LineTooLong


def lines_of(*chunks: bytes) -> list[bytes]:
    buffer = LineBuffer()
    return [line for chunk in chunks for line in buffer.feed(chunk)] + buffer.end()


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"one\n"], [b"one"]),
        ([b"one\r\n"], [b"one"]),
        ([b"one\ntwo\r\nthree\n"], [b"one", b"two", b"three"]),
        ([b"o", b"n", b"e", b"\r", b"\n", b"two\n"], [b"one", b"two"]),
        ([b"no terminator"], [b"no terminator"]),
        ([b"one\nno ", b"terminator\r"], [b"one", b"no terminator"]),
        ([b"\n\r\n  \n\t\r\n", b"\n"], []),
        ([b" \t one \t \r\n"], [b"one"]),
        ([b""], []),
        ([], []),
    ],
)
def test_a_stream_is_cut_into_lines(chunks: list[bytes], lines: list[bytes]) -> None:
    assert lines_of(*chunks) == lines


@given(st.lists(st.binary(max_size=20)), st.data())
def test_chunks_do_not_matter(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"\n".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)])]
    assert lines_of(*chunks) == lines_of(stream)


@pytest.mark.parametrize("terminator", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 1000, MAX_LINE, 2 * MAX_LINE])
def test_a_line_may_have_as_many_bytes_as_the_limit(terminator: bytes, size: int) -> None:
    stream = b"x" * MAX_LINE + terminator
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert lines_of(*chunks) == [b"x" * MAX_LINE]


def test_a_last_line_without_terminator_may_have_as_many_too() -> None:
    assert lines_of(b"x" * MAX_LINE) == [b"x" * MAX_LINE]


@pytest.mark.parametrize("rest", [b"", b"\n", b"\r\n", b"x" * MAX_LINE])
def test_one_byte_more_is_too_long_and_what_came_before_is_kept(rest: bytes) -> None:
    buffer = LineBuffer()
    with pytest.raises(LineTooLong) as caught:
        buffer.feed(b"one\n\ntwo\n" + b"x" * (MAX_LINE + 1) + rest)
    assert caught.value.lines == [b"one", b"two"]


def test_it_is_too_long_before_its_end_has_come() -> None:
    buffer = LineBuffer()
    assert buffer.feed(b"x" * MAX_LINE) == []
    assert buffer.feed(b"\r") == []  # may be the terminator's first half
    with pytest.raises(LineTooLong):
        buffer.feed(b"x")


def test_a_begun_line_is_known() -> None:
    buffer = LineBuffer()
    known = [(buffer.feed(chunk), buffer.unfinished) for chunk in (b"", b"one\ntw", b"o\n")]
    assert known == [([], False), ([b"one"], True), ([b"two"], False)]


def test_white_space_begins_no_line() -> None:
    buffer = LineBuffer()
    assert [(buffer.feed(chunk), buffer.unfinished) for chunk in (b"one\n\r", b" ")] == [([b"one"], False), ([], False)]
    assert buffer.feed(b"two\n") == [b"two"]
