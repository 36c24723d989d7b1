#!/usr/bin/env python3
"""The terminal pictures of the README, made from what the demo really prints.

    python docs/picture.py            writes docs/pictures/demo.svg and demo.zh-CN.svg

The demo runs in a pseudo-terminal, so its colours are those that a person sees. A picture loads nothing from
anywhere: it names fonts that systems have, and each line flows by itself, whatever font that turns out to be.
"""

import os
import pty
import subprocess
import sys
from html import escape
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

PICTURES = Path(__file__).resolve().parent / "pictures"
NAMES = {"en": "demo.svg", "zh": "demo.zh-CN.svg"}
TITLES = {"en": "./dev.py demo: what it prints", "zh": "./dev.py demo 的输出"}

_CONSOLE = Console(file=sys.stderr)    # only rich's table of styles is used

FONT_PX, LINE_PX, CELL_PX, MARGIN_PX = 15, 22, 9.03, 30
COLUMNS_MIN = 84
STEP_GAP_PX = 7                    # a little air before each step
MARKS = ("✓", "✕")
PLAIN, BOLD, DIM = "#c9d3d3", "#f4f7f6", "#84979a"
COLOURS = {1: "#ef8076", 2: "#7cc98f", 3: "#e2be6e", 6: "#6fc3c9"}    # red, green, yellow, cyan

FORMAT = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">
<title>{title}</title>
<style>text {{ font: {font}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "PingFang SC",
"Microsoft YaHei", "Noto Sans CJK SC", monospace; white-space: pre; fill: {plain} }}
.b {{ font-weight: 600 }}</style>
<rect width="{width}" height="{height}" rx="12" fill="#10191b"/>
{lines}
</svg>
"""


def demo_output(lang: str) -> str:
    """What `./dev.py demo --check` prints into a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "xinglin", "demo", "--check"], stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL,
        env=os.environ | {"XINGLIN_LANG": lang, "COLUMNS": "120", "LINES": "60", "TERM": "xterm-256color"})
    os.close(theirs)
    pieces = []
    while piece := _read(ours):
        pieces.append(piece)
    os.close(ours)
    output = b"".join(pieces).decode().replace("\r\n", "\n")
    if process.wait():
        sys.exit(f"the demo did not hold:\n{output}")
    return output


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:                # how Linux says that the other side is closed
        return b""


def picture(output: str, lang: str) -> str:
    """The SVG of a prompt and what came of it."""
    lines = [Text.assemble(("$ ", "green"), ("./dev.py demo", "bold")),
             *(Text.from_ansi(line) for line in output.rstrip().splitlines())]
    columns = max(COLUMNS_MIN, *(cell_len(line.plain) for line in lines))
    drawn = []
    y = MARGIN_PX - LINE_PX // 2
    for line in lines:
        y += LINE_PX + (STEP_GAP_PX if line.plain.startswith(MARKS) else 0)
        drawn.append(_line(line, y))
    return FORMAT.format(width=round(2 * MARGIN_PX + CELL_PX * columns), height=y + MARGIN_PX, font=FONT_PX,
                         title=escape(TITLES[lang]), plain=PLAIN, lines="\n".join(filter(None, drawn)))


def _line(line: Text, y: float) -> str:
    """One line as one flow of text, moved right by its indent; "" for a blank one."""
    if not line.plain.strip():
        return ""
    indent = len(line.plain) - len(line.plain.lstrip())
    line = line[indent:] if indent else line
    runs = "".join(_run(segment) for segment in line.render(_CONSOLE))
    return f'<text x="{MARGIN_PX + CELL_PX * indent:g}" y="{y:g}">{runs}</text>'


def _run(segment: Segment) -> str:
    text, style = escape(segment.text.rstrip("\n")), segment.style or Style()
    fill = COLOURS.get(style.color.number or 0) if style.color else DIM if style.dim else BOLD if style.bold else None
    attributes = (f' fill="{fill}"' if fill else "") + (' class="b"' if style.bold else "")
    return f"<tspan{attributes}>{text}</tspan>" if attributes else text


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for lang, name in NAMES.items():
        (PICTURES / name).write_text(picture(demo_output(lang), lang), encoding="utf-8")


if __name__ == "__main__":
    main()
