"""What others wrote, made harmless for whoever reads it on a terminal or in a spreadsheet."""

import re

# Control and bidirectional characters: a name or reason must not steer the reader's terminal.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
# A spreadsheet would run what begins so, behind white space too; full-width signs count for it as well.
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def printable(value: str, *, lines: bool = False) -> str:
    """Each such character as \\uXXXX, which within JSON means the same; line breaks stay when `lines`."""
    return UNPRINTABLE.sub(lambda found: found[0] if lines and found[0] == "\n" else f"\\u{ord(found[0]):04x}", value)


def spreadsheet(value: str) -> str:
    """A cell that is text and nothing else: behind an apostrophe where it might be a formula."""
    shown = printable(value, lines=True)
    return "'" + shown if shown.lstrip().startswith(FORMULA) else shown
