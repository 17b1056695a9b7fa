"""Bytes to lines, whatever the chunks they come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordersigner.serving.framing import MAX_LINE, LineBuffer, LineTooLong


def taken(buffer: LineBuffer) -> list[bytes]:
    """The lines that are complete."""
    return list(iter(buffer.next_line, None))


def lines_of(*chunks: bytes) -> list[bytes]:
    buffer = LineBuffer()
    lines = []
    for chunk in chunks:
        buffer.feed(chunk)
        lines += taken(buffer)
    buffer.end()
    return lines + taken(buffer)


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
    buffer.feed(b"one\n\ntwo\n" + b"x" * (MAX_LINE + 1) + rest)
    assert [buffer.next_line(), buffer.next_line()] == [b"one", b"two"]
    with pytest.raises(LineTooLong):
        buffer.next_line()


def test_it_is_too_long_before_its_end_has_come() -> None:
    buffer = LineBuffer()
    for chunk in (b"x" * MAX_LINE, b"\r"):  # the CR may be the first half of the terminator
        buffer.feed(chunk)
        assert buffer.next_line() is None
    buffer.feed(b"x")
    with pytest.raises(LineTooLong):
        buffer.next_line()


@pytest.mark.parametrize("size", [1, 1000, 2 * MAX_LINE])
def test_white_space_before_a_line_counts(size: int) -> None:
    for indent, fits in ((MAX_LINE - 3, True), (MAX_LINE - 2, False)):
        stream = b" " * indent + b"one\n"
        chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
        if fits:
            assert lines_of(*chunks) == [b"one"]
        else:
            with pytest.raises(LineTooLong):
                lines_of(*chunks)


@pytest.mark.parametrize("size", [1, 1000, 4 * MAX_LINE])
def test_a_blank_line_may_have_any_length(size: int) -> None:
    stream = b"\n" + b" " * (2 * MAX_LINE) + b"\r\n\t one\n"
    assert lines_of(*(stream[start : start + size] for start in range(0, len(stream), size))) == [b"one"]


def test_white_space_that_begins_no_line_is_not_kept() -> None:
    buffer = LineBuffer()
    for _ in range(100):
        buffer.feed(b"\n" * MAX_LINE + b" " * MAX_LINE)
        assert buffer.next_line() is None
        assert buffer.empty


def test_a_begun_line_is_known() -> None:
    buffer = LineBuffer()
    known = []
    for chunk in (b"", b"one\ntw", b"o\n"):
        buffer.feed(chunk)
        known.append((taken(buffer), buffer.empty))
    assert known == [([], True), ([b"one"], False), ([b"two"], True)]


def test_white_space_begins_no_line() -> None:
    buffer = LineBuffer()
    for chunk, lines in ((b"one\n\r", [b"one"]), (b" ", []), (b"two\n", [b"two"])):
        buffer.feed(chunk)
        assert taken(buffer) == lines
        assert buffer.empty
