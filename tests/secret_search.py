"""Searches files for secrets and signatures, in every encoding they could have."""

import base64
import html
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

_LONE_MD5: Final = re.compile(rb"(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])")
_HEX: Final = b"0123456789abcdef"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_WHOLE_MOST: Final = 64 << 20
_ZIPPED: Final = {".xlsx", ".xlsm", ".xlsb", ".ods", ".zip", ".whl"}
_DAMAGED: Final = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError,
)  # fmt: skip


def forms(secret: str) -> frozenset[bytes]:
    """A text as it is, escaped as in URLs, JSON and HTML, hex, base64 wherever it may begin,
    reversed, UTF-16."""
    raw = secret.encode()
    found = {raw, raw[::-1], quote(secret, safe="").encode(), secret.encode("utf-16-le")}
    found |= {quote_plus(secret).encode(), html.escape(secret).encode()}
    found |= {json.dumps(secret)[1:-1].encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for shift in range(3):
        # The characters at either end depend on the neighbouring bytes, so they are left out.
        packed = base64.b64encode(bytes(shift) + raw)
        inner = packed[(8 * shift + 5) // 6 : 8 * (shift + len(raw)) // 6]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return frozenset(found)


def leaks(
    places: Iterable[Path], needles: Iterable[bytes], signatures: Iterable[str] = ()
) -> Iterator[str]:
    """The files below these paths that contain a needle or a signature; each is named once."""
    needles = tuple(needles)
    marks = {s.encode() for s in signatures}
    packed = {form for s in signatures for form in (s.encode().hex().encode(), _base64(s))}
    for path in _files(places):
        for name, data in _contents(path):
            if any(needle in data for needle in needles):
                yield f"a secret lies in {name}"
                break
            if marks and (_signed(marks, data) or _any(packed, data)):
                yield f"a signature lies in {name}"
                break


def _signed(marks: set[bytes], data: bytes) -> bool:
    """Whether one of these signatures occurs as a separate word."""
    return _has_run(_HEX, 32, data) and not marks.isdisjoint(_LONE_MD5.findall(data))


def _has_run(alphabet: bytes, length: int, data: bytes) -> bool:
    """Whether `length` bytes of an alphabet follow each other; faster than a regular expression."""
    kinds = bytes(byte in alphabet for byte in range(256))
    return bytes([1]) * length in data.translate(kinds)


def _base64(text: str) -> bytes:
    return base64.b64encode(text.encode())


def _any(needles: set[bytes], data: bytes) -> bool:
    """Whether one of many needles of two lengths occurs."""
    if not _has_run(_BASE64, 43, data):
        return False
    words = set(re.findall(rb"[0-9A-Za-z+/]{43,64}={0,2}", data))
    return not words.isdisjoint(needles)


def scanned(places: Iterable[Path]) -> int:
    """Bytes in files that `leaks` reads."""
    return sum(path.stat().st_size for path in _files(places))


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_file():
            yield place
        else:
            yield from (p for p in sorted(place.rglob("*")) if p.is_file() and not p.is_symlink())


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """A file's bytes, and those of what is packed in it."""
    if path.stat().st_size > _WHOLE_MOST:
        return
    data = path.read_bytes()
    yield path.name, data
    if path.suffix.lower() in _ZIPPED:
        # Archives that tests have damaged cannot be unpacked.
        with suppress(*_DAMAGED), zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.file_size <= _WHOLE_MOST:
                    yield f"{path.name}/{entry.filename}", archive.read(entry)
