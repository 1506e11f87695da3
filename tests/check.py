"""Every check of this project, from a bare checkout: `python3 tests/check.py`.

Needs Python 3.11 or newer and nothing else.  It makes an environment of its own in `.check/venv`,
installs bulkcast and the tools into it, runs all checks even where one fails, and closes with
pytest's own last line.  The exit status is 0 where every check passed, else 1.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent
OURS = ROOT / ".check"
VENV = OURS / "venv"
STAMP = OURS / "stamp"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")


class Program(NamedTuple):
    """A program that some tests start and that pip cannot install."""

    command: str
    package: str
    """Its name for apt-get."""
    use: str


class Check(NamedTuple):
    """One check and the command that runs it."""

    name: str
    command: Sequence[object]


PROGRAMS = (
    Program("soffice", "libreoffice-calc", "the tests that open sheets in a spreadsheet program"),
    *((Program("strace", "strace", "the test of what is synced to disk before a request leaves"),)
      if sys.platform == "linux" else ()),
)  # fmt: skip

LINTS = (
    Check("ruff check", (PYTHON, "-m", "ruff", "check", "bulkcast", "tests")),
    Check("ruff format", (PYTHON, "-m", "ruff", "format", "--check", "bulkcast", "tests")),
    Check("mypy", (PYTHON, "-m", "mypy")),
    Check("import-linter", (BIN / "lint-imports",)),
)


def main() -> int:
    options = read_options()
    make_environment(options)
    if options.bench:
        return run((PYTHON, "-m", "tests.benchmarks")).returncode
    problems = [] if options.fast else missing_programs()
    problems += failed(LINTS)
    if problems:
        say(f"failed before the tests: {', '.join(problems)}")
    tests = run(pytest_command(options))
    return 1 if problems or tests.returncode else 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run every check of bulkcast.")
    parser.add_argument("--bench", action="store_true", help="only measure and print the ratios")
    parser.add_argument("--long", action="store_true", help="add the tests marked long")
    parser.add_argument(
        "--fast", action="store_true", help="take the environment as it is, install nothing else"
    )
    return parser.parse_args()


def say(text: str) -> None:
    # Flushed at once: what the checks print themselves must not overtake it.
    print(f"-- {text}", flush=True)


def stop(text: str) -> NoReturn:
    say(text)
    raise SystemExit(1)


# ------------------------------------------------------------------ the environment


def make_environment(options: argparse.Namespace) -> None:
    """Leave `.check/venv` as pyproject.toml wants it; a matching one is left alone."""
    wanted = fingerprint()
    present = STAMP.read_text(encoding="utf-8") if STAMP.exists() and PYTHON.exists() else ""
    if present == wanted or (present and options.fast):
        return
    say("making .check/venv; the first time this downloads some 100 MB")
    started = time.monotonic()
    STAMP.unlink(missing_ok=True)  # an environment half made is made again
    try:
        venv.create(VENV, clear=True, with_pip=True)
    except (subprocess.CalledProcessError, OSError) as exc:
        stop(f"no environment can be made with {sys.executable}: {exc}; on Debian, apt-get"
             " install python3-venv")  # fmt: skip
    # `--group` came with pip 25.1.
    pip_install("--upgrade", "pip>=25.1")
    pip_install("--editable", ".[all]", "--group", "dev")
    STAMP.write_text(wanted, encoding="utf-8")
    say(f"made in {time.monotonic() - started:.0f} s")


def fingerprint() -> str:
    """Changes with whatever an environment was made from: place, interpreter, pyproject.toml."""
    parts = (str(ROOT), sys.version, platform.platform())
    made_from = "\n".join(parts).encode() + (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(made_from).hexdigest()


def pip_install(*what: str) -> None:
    # A slow network is not a broken one: pip gives up after 15 s of silence by itself.
    patience = {"PIP_DEFAULT_TIMEOUT": "60", "PIP_RETRIES": "10"}
    command = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)
    if run(command, extra=patience).returncode:
        stop(f"pip could not install {' '.join(what)}; its own words stand above")


def missing_programs() -> list[str]:
    """Install what is missing where that is allowed; the names of checks that cannot be made.

    Where somebody looks on, tests that lack a program say so and are skipped.  With CI=true
    nobody would notice, so nothing may be left out.
    """
    missing = [program for program in PROGRAMS if not shutil.which(program.command)]
    if missing and may_install():
        apt_install(program.package for program in missing)
        missing = [program for program in missing if not shutil.which(program.command)]
    for program in missing:
        say(f"left out: {program.use}, for want of {program.command} ({program.package})")
    return [program.package for program in missing] if os.environ.get("CI") == "true" else []


def may_install() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0 and bool(shutil.which("apt-get"))


def apt_install(packages: Iterable[str]) -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    say("installing system packages")
    run(("apt-get", "update", "-qq"), extra=quiet)
    run(("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages), extra=quiet)


# ------------------------------------------------------------------ the checks


def failed(checks: Iterable[Check]) -> list[str]:
    """Run every check; the names of those that failed.  One that passes takes one line."""
    names = []
    for check in checks:
        started = time.monotonic()
        done = run(check.command, output=subprocess.PIPE)
        verdict = "FAILED" if done.returncode else "ok"
        say(f"{check.name} {verdict} ({time.monotonic() - started:.1f} s)")
        if done.returncode:
            print(done.stdout, flush=True)
            names.append(check.name)
    return names


def pytest_command(options: argparse.Namespace) -> Sequence[object]:
    marks = "not live" if options.long else "not live and not long"
    return (PYTHON, "-m", "pytest", "-q", "-n", "2", "-m", marks)


def run(
    command: Sequence[object], *, extra: Mapping[str, str] | None = None, output: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command at the root; with `output` it is kept, not shown.

    The user's own SID and secret stay out of it: no check may ever talk to ClassIn.
    """
    environ = {k: v for k, v in os.environ.items() if not k.startswith("BULKCAST_")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**environ, **(extra or {})},
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
