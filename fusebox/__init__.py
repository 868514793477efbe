"""Fusebox's vocabulary: records, names, guards, errors, configuration, time, telemetry. Imports nothing of ours."""

from fusebox.version import __version__

__all__ = ["__version__"]
