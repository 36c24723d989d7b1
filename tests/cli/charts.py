"""A patient whose record lies at a hospital, for commands to be tried on."""

import json
from pathlib import Path

from cli.command import Shell
from holder import rooms


def mei_at_east(folder: Path) -> Shell:
    """Mei's chart at East, claimed by her wallet; a doctor at West. SUBJECT says who she is."""
    shell = Shell(folder)
    shell.ok("net", "init", "city", "--simulated", "--member", "east:HOSPITAL:东院:East", "--member",
             "west:PRACTICE:西诊所:West")
    shell.ok("member", "enrol-staff", "west", "chen", "--name", "Chen", "--role", "physician")
    shell.ok("key", "new", "--wallet", "mei.wallet")
    (shell.folder / "fhir").mkdir()
    (shell.folder / "fhir" / "a.ndjson").write_text("\n".join(map(json.dumps, rooms.chart(3))))
    shell.ok("record", "import", "fhir", "--as", "east")
    (one,) = shell.json("subject", "list", "--as", "east")
    code = shell.json("subject", "code", one["subject"])["code"]
    shell.ok("subject", "claim", one["subject"], "--wallet", "mei.wallet", "--code", code)
    shell.env["SUBJECT"] = one["subject"]
    return shell
