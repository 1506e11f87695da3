"""Loads translations, and finds the language of the terminal.

Translations are gettext catalogues under `locale/`, looked up by the English sentence.
"""

import gettext
import locale
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Final, Literal

from bulkcast.i18n import ENGLISH, Translator

Lang = Literal["en", "zh"]
LANGS: Final[tuple[Lang, ...]] = ("en", "zh")
DOMAIN: Final = "bulkcast"
LOCALES: Final = Path(__file__).with_name("locale")
"""Folder of the catalogues; `importlib.resources` would double the imports of `--help`."""
FOLDERS: Final[Mapping[str, str]] = {"zh": "zh_CN"}
"""Language → the name of its folder under `locale/`; English has none."""

_VARIABLES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first that is set names the locale of messages (POSIX, Environment Variables 8.2)."""
_UNSPOKEN: Final = frozenset({"C", "POSIX"})
"""Locales without a language; gettext ignores LANGUAGE there, too (GNU gettext manual, The LANGUAGE
variable)."""


@cache
def translator(lang: str) -> Translator:
    """The translator for a tag such as `zh` or `zh-CN`; English for any other."""
    folder = FOLDERS.get(lang[:2])
    if folder is None:
        return replace(ENGLISH, label_of=partial(_label_of, "en"))
    catalogue = LOCALES / folder / "LC_MESSAGES" / f"{DOMAIN}.mo"
    with catalogue.open("rb") as file:
        found = gettext.GNUTranslations(file)
    tag = lang[:2]
    return Translator(tag, found.gettext, found.ngettext, partial(_label_of, tag))


def _label_of(lang: str, key: str) -> str | None:
    """A setting's label in `lang`; None if `key` is not a setting's key."""
    from bulkcast.endpoints import WEBCAST

    setting = WEBCAST.by_key.get(key)
    return setting.label.say(lang) if setting else None


def of_terminal(environ: Mapping[str, str]) -> Lang:
    """The language of the terminal's user.

    >>> of_terminal({"LANG": "zh_CN.UTF-8"}), of_terminal({"LANG": "zh_CN", "LC_ALL": "C"})
    ('zh', 'en')
    >>> of_terminal({"LANGUAGE": "de:zh_TW", "LANG": "de_DE.UTF-8"})
    'zh'
    """
    named = next((environ[name] for name in _VARIABLES if environ.get(name)), "")
    if named in _UNSPOKEN:
        return "en"
    wanted = [*environ.get("LANGUAGE", "").split(":"), named or _system_locale()]
    return next((lang for name in wanted for lang in LANGS if _names(name, lang)), "en")


def _names(name: str, lang: Lang) -> bool:
    spelled = name.casefold()
    return spelled[:2] == lang and not spelled[2:3].isalpha()


def _system_locale() -> str:
    """The locale on Windows, where terminals set no variable; empty elsewhere."""
    if os.name != "nt":
        return ""
    name = locale.getlocale()[0] or ""
    return "zh" if name.startswith("Chinese") else name
