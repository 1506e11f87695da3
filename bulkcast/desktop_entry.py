"""Writes what starts the page from the desktop, and takes it away again.

Linux: a desktop entry (Desktop Entry Specification 1.5, freedesktop.org).  macOS: a `.command`,
which Finder opens in Terminal.  Windows: a batch file on the desktop.
"""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from platformdirs import user_desktop_path

from bulkcast.errors import CannotStart

MARK: Final = "Made by bulkcast serve --install"
"""Stands in each file that is bulkcast's own; others are not touched."""
_CARRIED: Final = ("BULKCAST_HOME", "BULKCAST_STATE")
"""Variables that the page is started with as the command was; never one with a secret."""


@dataclass(frozen=True, slots=True)
class Starter:
    """A file that starts the page."""

    path: Path
    text: str
    mode: int
    """Of the file: programs are executable."""

    @property
    def raw(self) -> bytes:
        """The bytes of the file."""
        return self.text.encode("utf-8")


def starter(
    environ: Mapping[str, str],
    *,
    port: int | None = None,
    platform: str = sys.platform,
    python: str = sys.executable,
) -> Starter:
    """The file for this computer.

    Args:
        environ: says where the user's folders are.
        port: the port of the page, None for the usual one.
        platform: as `sys.platform`.
        python: the interpreter that has bulkcast.

    """
    words = [python, "-m", "bulkcast", "serve", *(() if port is None else ("--port", str(port)))]
    carried = {name: environ[name].strip() for name in _CARRIED if environ.get(name, "").strip()}
    carried = {name: str(Path(value).expanduser().absolute()) for name, value in carried.items()}
    if platform == "win32":
        return Starter(_windows_desktop(environ) / "bulkcast.bat", _batch(words, carried), 0o644)
    if platform == "darwin":
        folder = _user_folder(environ) / "Applications"
        return Starter(folder / "bulkcast.command", _command(words, carried), 0o755)
    return Starter(_data_folder(environ) / "bulkcast.desktop", _entry(words, carried), 0o644)


def install(made: Starter, *, force: bool = False) -> bool:
    """Write the file; whether there was one before.

    Raises:
        CannotStart: another file is there, and `force` is not set.

    """
    was_there = _require_own(made.path, force=force)
    made.path.parent.mkdir(parents=True, exist_ok=True)
    made.path.unlink(missing_ok=True)  # not through a link to another file
    with os.fdopen(os.open(made.path, _NEW, made.mode), "wb") as file:
        file.write(made.raw)
    return was_there


def uninstall(made: Starter, *, force: bool = False) -> bool:
    """Remove the file; whether there was one.

    Raises:
        CannotStart: it is not bulkcast's own, and `force` is not set.

    """
    was_there = _require_own(made.path, force=force)
    made.path.unlink(missing_ok=True)
    return was_there


_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def _require_own(path: Path, *, force: bool) -> bool:
    """Whether the file is there; raises CannotStart if it is somebody else's."""
    if not os.path.lexists(path):
        return False
    try:
        is_own = MARK.encode() in path.read_bytes()
    except OSError:
        is_own = False
    if not (is_own or force):
        raise CannotStart(
            "{path} is there already, and not made by bulkcast; --force replaces it", path=path
        )
    return True


# ------------------------------------------------------------------ Linux


def _data_folder(environ: Mapping[str, str]) -> Path:
    """Where a user's desktop entries are (XDG Base Directory Specification)."""
    named = environ.get("XDG_DATA_HOME", "")
    base = Path(named) if Path(named).is_absolute() else _user_folder(environ) / ".local" / "share"
    return base / "applications"


def _entry(words: Sequence[str], carried: Mapping[str, str]) -> str:
    started = ["env", *(f"{name}={value}" for name, value in carried.items())] if carried else []
    icon = files("bulkcast.web") / "static" / "icon.svg"
    lines = {
        "Type": "Application",
        "Name": "bulkcast",
        "Comment": "Apply a spreadsheet of ClassIn webcast settings",
        "Comment[zh_CN]": "把一张 ClassIn 网页直播设置表批量提交给 ClassIn",
        "Exec": _string(" ".join(_argument(word) for word in (*started, *words))),
        "Icon": _string(str(icon)),
        "Terminal": "true",  # closing it ends the page
        "Categories": "Education;",
        "Keywords": "ClassIn;",
        "X-Bulkcast": MARK,
    }
    return "\n".join(["[Desktop Entry]", *(f"{k}={v}" for k, v in lines.items()), ""])


def _argument(word: str) -> str:
    """An argument of Exec: in quotes if it has a reserved character; % begins a field code."""
    word = word.replace("%", "%%")
    if not any(c in word for c in " \t\n\"'\\><~|&;$*?#()`="):
        return word
    return '"' + "".join(f"\\{c}" if c in '"`$\\' else c for c in word) + '"'


def _string(text: str) -> str:
    """A value of type string, in which a backslash begins an escape."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


# ------------------------------------------------------------------ macOS


def _command(words: Sequence[str], carried: Mapping[str, str]) -> str:
    exports = [f"export {name}={shlex.quote(value)}" for name, value in carried.items()]
    return "\n".join(["#!/bin/sh", f"# {MARK}", *exports, f"exec {shlex.join(words)}", ""])


def _user_folder(environ: Mapping[str, str]) -> Path:
    named = environ.get("HOME", "")
    return Path(named) if named else Path.home()


# ------------------------------------------------------------------ Windows


def _windows_desktop(environ: Mapping[str, str]) -> Path:
    """The desktop, wherever it was moved to."""
    if os.name == "nt":
        return user_desktop_path()
    return Path(environ.get("USERPROFILE") or _user_folder(environ)) / "Desktop"


def _batch(words: Sequence[str], carried: Mapping[str, str]) -> str:
    sets = [f'set "{name}={_percents(value)}"' for name, value in carried.items()]
    # 65001 is UTF-8: a path may have any characters.
    lines = [
        "@echo off", f"rem {MARK}", "chcp 65001 >nul", "title bulkcast", *sets,
        " ".join(f'"{_percents(word)}"' for word in words), "if errorlevel 1 pause", "",
    ]  # fmt: skip
    return "\r\n".join(lines)


def _percents(text: str) -> str:
    """A text in a batch file, where % begins a variable; no path of Windows has a quote."""
    return text.replace("%", "%%")
