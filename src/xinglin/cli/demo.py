"""`xinglin demo`: the story, in a home that stays for trying things by hand."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from xinglin import demo as story
from xinglin.cli.call import Call, Output

KEPT = ".xinglin-demo"             # beside the ordinary home, so that nothing real lies in it


def demo(ctx: typer.Context, check: Annotated[bool, Option("--check")] = False,
         data: Annotated[Path | None, Option("--data", metavar="DIR", exists=True, file_okay=False)] = None) -> None:
    call = Call.of(ctx)
    if check:                      # a home in the environment is for other commands: nothing is checked in it
        home = call.home if call.home_given else None
    else:
        home = call.home if call.home_named else Path.home() / KEPT
    raise typer.Exit(story.run(home, data, check=check, as_json=call.output is Output.JSON, lang=call.lang))
