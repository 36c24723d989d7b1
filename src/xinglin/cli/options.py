"""Options and arguments that several commands share. Their words stand in help.toml, by these names."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

As = Annotated[str, Option("--as", metavar="ORG")]
By = Annotated[str, Option("--by", metavar="ORG")]
WalletFile = Annotated[str, Option("--wallet", metavar="FILE")]
Subject = Annotated[str, Option("--subject", metavar="ID")]
OwnSubject = Annotated[str | None, Option("--subject", metavar="ID")]
SubjectArgument = Annotated[str, Argument(metavar="SUBJECT")]
To = Annotated[str, Option("--to", metavar="ORG")]
Scope = Annotated[list[str], Option("--scope", metavar="TYPE[=ID]")]
Purpose = Annotated[str, Option("--purpose", metavar="CODE")]
Out = Annotated[Path | None, Option("-o", "--out", metavar="FILE")]
OutNeeded = Annotated[Path, Option("-o", "--out", metavar="FILE")]
PolicyFile = Annotated[Path | None, Option("--policy", metavar="FILE")]
Limit = Annotated[int, Option("--limit", metavar="N", min=1, max=10_000)]
After = Annotated[str | None, Option("--after", metavar="ID")]
