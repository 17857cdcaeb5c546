"""Cuts bytes into JSON values that follow each other: in an array, one behind the other, over one line or many.

What proves to be no value is given line by line, so that one broken record costs no other.
"""

import json
import re
from collections.abc import Iterator

from batch.lines import BYTE_ORDER_MARK, PADDING

# What may stand between two values; 0x1e begins a record of a JSON text sequence (RFC 7464).
BETWEEN = b" \t\r\n,\x1e\0\x1a"
_SIGN = re.compile(rb'["\\{}\[\]]')
_IN_TEXT = re.compile(rb'["\\\n]')
_END_OF_LINE = re.compile(rb"\n")
_END_OF_ITEM = re.compile(rb"[,\]\n{]")


class Brackets:
    """How deep a value is nested so far. `broken` is one with a line break inside a text, which JSON has not."""

    def __init__(self) -> None:
        self.broken = False
        self._depth = 0
        self._in_text = False
        self._escaped = False

    def end(self, data: bytes) -> int | None:
        """The place behind the bracket that closes the value, or None if it goes on behind `data`."""
        place = 1 if self._escaped else 0
        self._escaped = False
        while match := (_IN_TEXT if self._in_text else _SIGN).search(data, place):
            place = match.end()
            sign = match.group()
            if sign == b"\n":
                self.broken = True
                return place
            if sign == b'"':
                self._in_text = not self._in_text
            elif sign == b"\\":
                self._escaped = self._in_text and place == len(data)
                place += self._in_text
            else:
                self._depth += 1 if sign in b"{[" else -1
                if self._depth <= 0:
                    return place
        return None


class JsonValues:
    """The values of the pieces that it is fed. A value of more than `longest` bytes is given as the lines it has."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._held = b""
        self._parts: list[bytes] = []
        self._size = 0
        self._in_array = False
        self._brackets: Brackets | None = None
        self._rest: re.Pattern[bytes] | None = None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The values, and the lines of what is none, that end in this piece."""
        data, self._held = self._held + piece, b""
        while data:
            if self._brackets is None and self._rest is None:
                data = self._begin(data)
                continue
            end = self._end(data)
            self._parts.append(data if end is None else data[:end])
            self._size += len(self._parts[-1])
            data = b"" if end is None else data[end:]
            if end is not None or self._size > self._longest:
                yield from self._taken()

    def close(self) -> Iterator[bytes]:
        """The lines of what was open at the end."""
        if self._held:
            self._parts.append(self._held)
        text = b"".join(self._parts)
        self._parts, self._held, self._brackets, self._rest = [], b"", None, None
        yield from _by_line(text)

    def _begin(self, data: bytes) -> bytes:
        """The data from the begin of the next value on, or of what is none; nothing where more must be seen."""
        data = data.lstrip(BETWEEN)
        if data and BYTE_ORDER_MARK.startswith(data[: len(BYTE_ORDER_MARK)]):
            if len(data) < len(BYTE_ORDER_MARK):
                self._held = data
                return b""
            return data.removeprefix(BYTE_ORDER_MARK)
        if data[:1] == b"[" and not self._in_array:
            self._in_array = True
            return data[1:]
        if data[:1] == b"]" and self._in_array:
            self._in_array = False
            return data[1:]
        if data[:1] in (b"{", b"["):
            self._brackets = Brackets()
        elif data:
            self._rest = _END_OF_ITEM if self._in_array else _END_OF_LINE
        return data

    def _end(self, data: bytes) -> int | None:
        if self._brackets is not None:
            return self._brackets.end(data)
        assert self._rest is not None
        # The first sign is what made it no value; what ends it belongs to what follows.
        match = self._rest.search(data, 0 if self._size else 1)
        return match.start() if match else None

    def _taken(self) -> Iterator[bytes]:
        text = b"".join(self._parts)
        whole = self._brackets is not None and not self._brackets.broken and self._size <= self._longest
        self._parts, self._size, self._brackets, self._rest = [], 0, None, None
        if whole and (b"\n" not in text or _is_value(text)):
            yield text
        else:
            yield from _by_line(text)


def _is_value(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _by_line(text: bytes) -> Iterator[bytes]:
    return (line for line in text.split(b"\n") if line.strip(PADDING))
