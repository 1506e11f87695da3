"""bulkcast: apply a spreadsheet of ClassIn webcast settings, one classroom a row."""

__version__ = "0.1.0"
