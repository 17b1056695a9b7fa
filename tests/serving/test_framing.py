"""Bytes to lines, whatever the chunks they come in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordersigner.serving.framing import MAX_LINE, HttpRequest, LineBuffer, LineTooLong


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


@pytest.mark.parametrize(
    "line",
    [
        *("GET / HTTP/1.1", "POST /sign?x=y HTTP/1.0", "OPTIONS * HTTP/1.1", "CONNECT host:443 HTTP/1.1"),
        *("GET http://host/ HTTP/1.1", "PRI * HTTP/2.0", "M-SEARCH * HTTP/1.1", "x! /y HTTP/3", "get / http/1.1"),
        *("GET /", "GET  /\tHTTP/1.1", "GET HTTP/1.1", " GET / HTTP/1.1 ", "GET x y HTTP/1.1", "GET ?x HTTP/1.1"),
        "GET /\xff HTTP/1.1",
    ],
)
@pytest.mark.parametrize("before", ["", "\r\n \n"])
def test_nothing_after_the_first_line_of_an_http_request_is_a_line(line: str, before: str) -> None:
    buffer = LineBuffer()
    buffer.feed(f"{before}{line}\r\n{{}}\n".encode("latin-1"))
    with pytest.raises(HttpRequest):
        buffer.next_line()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('GET /*:HTTP1."\\ '),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("GET / HTTP1."), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    "line",
    [
        *(b"GET", b"HTTP/1.1 200 OK", b"Host: x", b"EHLO x", b"{} / HTTP/1.1", b"\xff / HTTP/1.1", b"x HTTP/1.12"),
        # An expression that tries one way after another would take minutes for these.
        *(
            b"x" + b" " * 65_000 + b"y",
            b"x" * 65_000,
            b"x " * 32_000,
            b"x " + b"a.+" * 21_000,
            b"x" + b" HTTP/" * 9_000,
        ),
    ],
    ids=lambda line: repr(line[:20]),
)
def test_other_first_lines_are_lines(line: bytes) -> None:
    assert lines_of(line + b"\n{}\n") == [line.strip(), b"{}"]


def test_later_a_line_like_that_is_a_line() -> None:
    """As clients of the earlier daemon may send it, and go on."""
    assert lines_of(b"{}\nGET / HTTP/1.1\n{}\n") == [b"{}", b"GET / HTTP/1.1", b"{}"]


@given(json_values, st.sampled_from([None, 1, "\t"]))
def test_no_line_of_json_is_taken_for_an_http_request(value: object, indent: int | str | None) -> None:
    line = json.dumps(value, ensure_ascii=False, indent=indent).replace("\n", " ").encode()
    assert lines_of(line + b"\n") == [line.strip()]
