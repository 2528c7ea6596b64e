"""The templates of mail: one environment for HTML (escapes everything), one for plain text (keeps every newline)."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

_LOADER = FileSystemLoader(Path(__file__).parent)

HTML = Environment(
    loader=_LOADER,
    autoescape=select_autoescape(["html"], default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# trim_blocks would glue the lines of a text together; and nothing here is markup, so there is nothing to escape.
TEXT = Environment(
    loader=_LOADER,
    autoescape=select_autoescape(["html"], disabled_extensions=["txt"]),
    undefined=StrictUndefined,
    trim_blocks=False,
    keep_trailing_newline=True,
)
