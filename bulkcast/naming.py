"""What a setting is called where somebody reads of it: as the header of the sheet spells it."""

import re
from collections.abc import Iterable, Mapping

from bulkcast.catalogue import RESULT_PREFIX, Endpoint, fold


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

    `mapping` (header → setting) goes before what headers say, as when the sheet is checked.

    >>> from bulkcast.endpoints.webcast import WEBCAST
    >>> header_names(["备注", "录课", "Ours"], WEBCAST, {"Ours": "activityId"})
    {'recordState': '录课', 'activityId': 'Ours'}
    """
    mapped = {fold(header): key for header, key in mapping.items()}
    found: dict[str, str] = {}
    for header in headers:
        if header.strip().casefold().startswith(RESULT_PREFIX):
            continue
        column = endpoint.column_for(mapped.get(fold(header), "")) or endpoint.column_for(header)
        if column is not None and (name := short_header(header)):
            found.setdefault(column.key, name)
    return found
