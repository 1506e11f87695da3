"""What holds for every test."""

import os

from hypothesis import HealthCheck, settings

# These machines are shared: how long an example takes says nothing about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

# Sentences are told in the language of the terminal, and tests quote the English ones.
os.environ["LC_ALL"] = "C.UTF-8"
os.environ.pop("LANGUAGE", None)
