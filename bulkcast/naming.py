"""What a setting is called where somebody reads of it: as the header of the sheet spells it."""

import re
from collections.abc import Iterable, Mapping

from bulkcast.catalogue import RESULT_PREFIX, Endpoint, Setting, fold


def short_header(header: str) -> str:
    r"""The name by which a message calls a column: its first line, without the required mark.

    The result workbook's highlighting computes the same in a formula; change both or neither.

    >>> short_header("Activity ID *\n活动ID")
    'Activity ID'
    """
    first = header.partition("\n")[0].replace("\r", "").replace(" *", "")
    return re.sub(" +", " ", first).strip(" ")


def header_names(
    headers: Iterable[str], endpoint: Endpoint, mapping: Mapping[str, str]
) -> dict[str, str]:
    """Key → what the sheet's first column of that setting is called.

    `mapping` (header → setting) goes before what headers say, as when the sheet is checked.  A
    column that is named in both languages is left out: its label says it in the reader's own.

    >>> from bulkcast.endpoints.webcast import WEBCAST
    >>> header_names(["备注", "录课", "Ours"], WEBCAST, {"Ours": "activityId"})
    {'recordState': '录课', 'activityId': 'Ours'}
    >>> header_names(["Web live 网页直播"], WEBCAST, {})
    {}
    """
    mapped = {fold(header): key for header, key in mapping.items()}
    found: dict[str, str] = {}
    for header in headers:
        if header.strip().casefold().startswith(RESULT_PREFIX):
            continue
        column = endpoint.column_for(mapped.get(fold(header), "")) or endpoint.column_for(header)
        if column is not None and (name := short_header(header)):
            found.setdefault(column.key, name)
    return {key: name for key, name in found.items() if not _is_both(name, endpoint.by_key[key])}


def _is_both(name: str, setting: Setting) -> bool:
    """Whether a header names its setting in both languages, of which a reader wants one."""
    return fold(name) in {fold(setting.label.pair(lang)) for lang in ("en", "zh")}
