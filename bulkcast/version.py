"""Which bulkcast this is."""

VERSION = "0.1.0"
