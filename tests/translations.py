"""The sentences a user can meet, taken from the code, and their translations under `locale/`.

    python tests/translations.py

brings the catalogues up to date: what is new stands untranslated in the .po file, what is gone is
taken out, and the .mo file is written again.
"""

import ast
import gettext
import inspect
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import click
import jinja2
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2.ext import extract_from_ast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bulkcast import errors
from bulkcast.cli.app import bulkcast
from bulkcast.i18n import OR
from bulkcast.languages import DOMAIN, FOLDERS
from bulkcast.model import Severity
from bulkcast.problems import PROBLEMS, STOPS

ROOT: Final = Path(__file__).resolve().parent.parent
CODE: Final = ROOT / "bulkcast"
COMMAND: Final = "python tests/translations.py"

Sentence = tuple[str, ...]
"""A template; where a number decides, the one for one thing and the one for many."""

_EXCEPTIONS: Final = tuple(
    name for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.BulkcastError)
)  # fmt: skip
_TEMPLATES: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        ("tr", "tell", "Text", "marked", "_Kind", "_Wrong", "NoFault", "Unpatchable", *_EXCEPTIONS),
        1,
    ),
    **dict.fromkeys(("trn", "count"), 2),
}
"""Functions whose first arguments are templates, and how many of them."""

_OF_CLICK: Final[Sequence[Sentence]] = (
    ("Usage:",), ("Options",), ("Commands",),
    ("Show this message and exit.",), ("Show the version and exit.",),
    ("Aborted!",), ("default: {default}",), ("file",), ("path",), ("directory",),
    ("Missing argument",), ("Missing option",), ("Missing command.",),
    ("Missing {param_type}",), ("Invalid value: {message}",),
    ("Invalid value for {param_hint}: {message}",), ("Error: invalid input",),
    ("Error: {message}",), ("No such option {name!r}.",), ("No such command {name!r}.",),
    ("Did you mean {possibility}?", "(Did you mean one of: {possibilities}?)"),
    ("Option {name!r} does not take a value.",),
    ("Option {name!r} requires an argument.", "Option {name!r} requires {nargs} arguments."),
    ("Got unexpected extra argument ({args})", "Got unexpected extra arguments ({args})"),
    ("{value!r} is not {choice}.", "{value!r} is not one of {choices}."),
    ("{value!r} is not a valid {number_type}.",), ("{value} is not in the range {range}.",),
    ("Choose from:\n\t{choices}",),
)  # fmt: skip
"""What click itself may say here."""

_OF_THE_SYSTEM: Final = (
    "Connection refused", "Network is unreachable", "No route to host",
    "Connection reset by peer", "Permission denied", "No such file or directory",
    "No space left on device", "Read-only file system", "Is a directory", "Not a directory",
    "File name too long", "Address already in use",
)  # fmt: skip
"""What operating systems say most."""


# ------------------------------------------------------------------ what there is to translate


@cache
def sentences() -> tuple[Sentence, ...]:
    """Every sentence, in the order of the code, each once."""
    found: dict[Sentence, None] = {}
    for path in sorted(CODE.rglob("*.py")):
        found |= dict.fromkeys(_of_module(ast.parse(path.read_text("utf-8"))))
    for path in sorted(CODE.rglob("*.html")):
        found |= dict.fromkeys(_of_template(path.read_text("utf-8")))
    found |= dict.fromkeys(_of_problems())
    found |= dict.fromkeys(_of_commands(bulkcast))
    found |= dict.fromkeys(_OF_CLICK)
    found |= {(sentence,): None for sentence in (*_OF_THE_SYSTEM, OR, *Severity)}
    return tuple(found)


def _of_module(tree: ast.Module) -> Iterator[Sentence]:
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    named = _named(tree.body)
    for scope, texts in ((tree, named), *((f, named | _named(ast.walk(f))) for f in functions)):
        for node in ast.walk(scope):
            if isinstance(node, ast.Call):
                yield from _of_call(node, texts)


def _of_template(source: str) -> Iterator[Sentence]:
    tree = jinja2.Environment(autoescape=True).parse(source)
    for _, name, told in extract_from_ast(tree, ("tell", "count")):
        arguments = told if isinstance(told, tuple) else (told,)
        texts = tuple(text for text in arguments[: _TEMPLATES[name]] if text)
        if len(texts) == _TEMPLATES[name]:
            yield texts


def _named(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """The texts that have a name there."""
    return {
        target.id: node.value.value
        for node in nodes
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _of_call(call: ast.Call, texts: Mapping[str, str]) -> Iterator[Sentence]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    wanted = _TEMPLATES.get(name, 0)
    told = [_text(argument, texts) for argument in call.args[:wanted]]
    if told and len(told) == wanted and all(told):
        yield tuple(text for text in told if text)


def _text(node: ast.expr, texts: Mapping[str, str]) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return texts.get(name)
        case _:
            return None


def _of_problems() -> Iterator[Sentence]:
    for problem in (*PROBLEMS.values(), *STOPS.values()):
        yield from ((text,) for text in (problem.message, problem.many, problem.fix) if text)


def _of_commands(command: click.Command) -> Iterator[Sentence]:
    options = (p.help for p in command.params if isinstance(p, click.Option))
    texts = (command.help, command.epilog, *options)
    yield from ((inspect.cleandoc(text),) for text in texts if text)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from _of_commands(below)


# ------------------------------------------------------------------ the catalogues


def po_path(lang: str) -> Path:
    """Where the translations into `lang` are."""
    return CODE / "locale" / FOLDERS[lang] / "LC_MESSAGES" / f"{DOMAIN}.po"


def mo_path(lang: str) -> Path:
    """What they are compiled to."""
    return po_path(lang).with_suffix(".mo")


def read(lang: str) -> Catalog:
    """The translations into `lang`."""
    with po_path(lang).open("rb") as file:
        return read_po(file, locale=FOLDERS[lang], domain=DOMAIN)


def updated(old: Catalog) -> Catalog:
    """The same with exactly the sentences of the code; a new one is left empty, never guessed."""
    new = Catalog(locale=old.locale, domain=DOMAIN, fuzzy=False, creation_date=old.creation_date)
    new.header_comment = old.header_comment
    new.revision_date = old.revision_date
    new.project, new.version = "bulkcast", "1"
    for sentence in sentences():
        known = old.get(sentence[0])
        plural = len(sentence) > 1
        string = known.string if known and known.pluralizable == plural else ""
        new.add(sentence if plural else sentence[0], string or (("",) if plural else ""))
    return new


def compiled(catalog: Catalog) -> bytes:
    """The bytes of a .mo file."""
    out = io.BytesIO()
    write_mo(out, catalog)
    return out.getvalue()


def entries(mo: bytes) -> Mapping[object, str]:
    """What a .mo file translates, without its header: that names the Babel that wrote it."""
    # gettext gives no other way to list a catalogue.
    listed: dict[object, str] = vars(gettext.GNUTranslations(io.BytesIO(mo)))["_catalog"]
    return {key: told for key, told in listed.items() if key}


def write_all() -> None:
    """Bring every catalogue up to date."""
    for lang in FOLDERS:
        catalog = updated(read(lang))
        with po_path(lang).open("wb") as file:
            write_po(file, catalog, width=100, omit_header=False, no_location=True)
        mo = compiled(catalog)
        if not mo_path(lang).exists() or entries(mo_path(lang).read_bytes()) != entries(mo):
            mo_path(lang).write_bytes(mo)


if __name__ == "__main__":
    write_all()
