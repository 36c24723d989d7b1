"""One call of the command line: the language, the home, the form of output, and what a command opens."""

import getpass
import locale
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

import typer

from xinglin.base.check import Failed, NotUnderstood
from xinglin.base.crypto import SigningKey
from xinglin.base.ids import AccountId
from xinglin.base.limits import PASSPHRASE_BYTES_MAX
from xinglin.cli import files
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.printable import printable
from xinglin.cli.words import Lang
from xinglin.client.codes import ClientCode
from xinglin.client.key_file import KeyFile
from xinglin.client.patient import Patient
from xinglin.client.wallet import Wallet
from xinglin.engine.codes import EngineCode
from xinglin.holder import answer, read_log
from xinglin.home import Home
from xinglin.kernel.receipt import Signed

PASSPHRASE = "XINGLIN_PASSPHRASE"
IN_USE_WAIT_S, IN_USE_PAUSE_S = 2.0, 0.1     # two terminals at once: one command takes about so long


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def language(said: str | None = None) -> Lang:
    """What was said, else XINGLIN_LANG, else the system's; English unless one of them is Chinese."""
    asked = said or os.environ.get("XINGLIN_LANG") or next(
        (os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)),
        locale.getlocale()[0] or "")
    return "zh" if asked.lower().startswith(("zh", "chinese")) else "en"


def _open(path: Path) -> Home:
    """The home, once a command in another terminal that is about to end has let go of it.

    Errors  as Home.open.
    """
    give_up = time.monotonic() + IN_USE_WAIT_S
    while True:
        try:
            return Home.open(path)
        except Failed as error:
            if error.code is not EngineCode.STORE_IN_USE or time.monotonic() >= give_up:
                raise
        time.sleep(IN_USE_PAUSE_S)


@dataclass
class Call:
    """What was said for all commands alike. Options fill it in while the line is read."""

    lang: Lang
    home: Path
    home_named: bool = False       # by --home or the environment
    home_given: bool = False       # by --home
    output: Output = Output.TABLE
    quiet: bool = False
    yes: bool = False
    passphrase_file: Path | None = None

    @classmethod
    def of(cls, ctx: typer.Context) -> "Call":
        return cast(Call, ctx.find_root().obj)

    @classmethod
    def new(cls, lang: Lang) -> "Call":
        named = os.environ.get("XINGLIN_HOME")
        return cls(lang, Path(named) if named else Path.home() / ".xinglin", home_named=bool(named))

    # -- speaking

    def words(self, zh: str, en: str) -> str:
        return zh if self.lang == "zh" else en

    def say(self, zh: str, en: str) -> None:
        """To people, on stderr. Names in it are others' words: nothing of them steers the terminal."""
        if not self.quiet:
            print(printable(self.words(zh, en)), file=sys.stderr, flush=True)

    def hand_on(self, home: Home, file: Path, signed: Signed, policy: Path | None = None) -> None:
        """How whoever is given `file` verifies it: with the whole id of the network, which no short name replaces; and
        with the key that signed it, where that is none that the id stands for."""
        first = {one.key for one in home.node.manifest.checkpoint_keys}
        later = policy is None and first.isdisjoint([one.key for one in signed.keys])
        asked = ["--policy", "POLICY" if policy is None else str(policy)] if policy or later else []
        line = shlex.join(["xinglin", "verify", str(file), "--network", home.network.hex(), *asked])
        self.say("任何人都可离线验证，网络标识须来自其信任的人：",
                 "Anyone can verify it offline, with the network's id from someone they trust:")
        self.say(f"  {line}", f"  {line}")
        if later:
            self.say("检查点密钥已更换，标识不代表新密钥：POLICY 是含以下各行的文件，同样须来自其信任的人"
                     "（xinglin net log 列出密钥）：",
                     "The checkpoint key was changed, and the id does not stand for the new one: POLICY is a file of "
                     "these lines, also from someone they trust (xinglin net log shows the keys):")
            for line in (*[f"log {one.text()}" for one in signed.keys], "quorum none"):
                self.say(f"  {line}", f"  {line}")

    def warn(self, zh: str, en: str) -> None:
        """As `say`, and not to be silenced."""
        print(self.words("注意：", "Note: ") + printable(self.words(zh, en)), file=sys.stderr, flush=True)

    def confirm(self, zh: str, en: str) -> None:
        """Errors  Usage NOT_CONFIRMED: no, or nobody there to ask."""
        if self.yes:
            return
        if not sys.stdin.isatty():
            raise Usage(CliCode.NOT_CONFIRMED, self.words("没有终端可供确认", "there is no terminal to ask at"))
        print(printable(self.words(zh, en)) + self.words(" [y 是/N 否] ", " [y/N] "), end="", file=sys.stderr,
              flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes", "是"):
            raise Usage(CliCode.NOT_CONFIRMED)

    # -- opening

    @contextmanager
    def opened(self) -> Iterator[Home]:
        """The home, alone: timers that are due have run, and what its holders owed is answered.

        Errors  as Home.open.
        """
        with _open(self.home) as home:
            home.node.settle()
            with self._tolerated(home):
                home.serve_admitted()
            for organisation in home.with_data_room():
                with self._tolerated(home):
                    answer.answer_open(home.holder(organisation))
            try:
                yield home
            finally:                   # what was read is anchored now: the next command may be a month away
                for holder in home.in_use():
                    with self._tolerated(home):
                        read_log.anchor(holder)

    @contextmanager
    def _tolerated(self, home: Home) -> Iterator[None]:
        """What an organisation of the home cannot do now (suspended, a damaged or full data room) does not stop
        another's command. A bug of ours does: InvariantBroken goes through. So does an engine that has stopped.
        """
        try:
            yield
        except (Failed, OSError) as error:
            if home.node.engine.failed is not None:
                raise
            self.warn(f"一个持有方未能完成其工作：{error}", f"a holder could not do its work: {error}")

    def wallet_path(self, named: str) -> Path:
        """A file, or the name of a wallet of the home: a bare word that is no file here is a name."""
        path, kept = Path(named), self.home / "wallets" / f"{named}.wallet"
        is_name = path.name == named and not path.exists() and (kept.exists() or not path.suffix)
        return kept if is_name else path

    def wallet(self, named: str) -> Wallet:
        path = self.wallet_path(named)
        files.require_there(path, ClientCode.WALLET_NOT_FOUND)
        return Wallet.open(path, self.passphrase(path))

    def patient(self, home: Home, wallet: str) -> Patient:
        return Patient(home.client, self.wallet(wallet))

    def key(self, path: Path) -> tuple[AccountId, SigningKey]:
        return KeyFile.open(path, self.passphrase(path) if KeyFile.is_sealed(path) else None)

    # -- passphrases: never on the command line, where other users of the machine could read them

    def passphrase(self, path: Path) -> str:
        """Errors  NotUnderstood PASSPHRASE_NEEDED."""
        found = self._given_passphrase()
        if found is None:
            self._require_terminal(path)
            name = printable(path.name)
            found = getpass.getpass(self.words(f"{name} 的口令：", f"Passphrase of {name}: "))
        return found

    def new_passphrase(self, path: Path) -> str:
        """Asked for twice. Errors  NotUnderstood PASSPHRASE_NEEDED; Usage PASSPHRASES_DIFFER."""
        found = self._given_passphrase()
        if found is None:
            self._require_terminal(path)
            name = printable(path.name)
            found = getpass.getpass(self.words(f"{name} 的新口令：", f"New passphrase for {name}: "))
            if getpass.getpass(self.words("再输入一次：", "Once more: ")) != found:
                raise Usage(CliCode.PASSPHRASES_DIFFER)
        return found

    def _given_passphrase(self) -> str | None:
        if self.passphrase_file is not None:
            data = files.read(self.passphrase_file, 2 * PASSPHRASE_BYTES_MAX)
            try:
                return data.decode().rstrip("\r\n")
            except UnicodeDecodeError:
                raise NotUnderstood(ClientCode.PASSPHRASE_NOT_VALID, "not UTF-8") from None
        return os.environ.get(PASSPHRASE)

    def _require_terminal(self, path: Path) -> None:
        if not sys.stdin.isatty():
            raise NotUnderstood(ClientCode.PASSPHRASE_NEEDED, str(path))
