"""Starts the page from the desktop."""
