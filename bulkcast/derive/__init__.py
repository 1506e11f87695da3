"""What follows from the table: sentences for codes, result rows, JSON Schema, pages, template.

Pure: a declaration in, values out.  Nothing here names a setting.
"""

from bulkcast.derive.lexicon import FACTS, Entry, EntryKind, lexicon
from bulkcast.derive.rows import issue_sentence, local_time, result_row
from bulkcast.derive.schema import json_schema
from bulkcast.derive.sentences import SAID_MAX, clean, explain, explain_stop
from bulkcast.derive.settings import values_said
from bulkcast.derive.tables import codes_table, problems_table, settings_table, states_table
from bulkcast.derive.template import TemplateColumn, template_columns

__all__ = [
    "FACTS",
    "SAID_MAX",
    "Entry",
    "EntryKind",
    "TemplateColumn",
    "clean",
    "codes_table",
    "explain",
    "explain_stop",
    "issue_sentence",
    "json_schema",
    "lexicon",
    "local_time",
    "problems_table",
    "result_row",
    "settings_table",
    "states_table",
    "template_columns",
    "values_said",
]
