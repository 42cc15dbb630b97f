"""Reports: a run as one HTML page that opens offline, with its JSON beside it."""

from dale.report.gather import gather as gather
from dale.report.gather import planned as planned
from dale.report.gather import versions as versions
from dale.report.html import render as render
from dale.report.merges import write_check as write_check

__all__ = ["gather", "planned", "render", "versions", "write_check"]
