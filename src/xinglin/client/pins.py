"""Which networks this user trusts: ids by chain name, in her own configuration. Nothing beside a file counts.

`demo`, `net init` and `net trust` write a pin, the last also a policy beside it, or removes that; `--network ID` goes
before all of them.
"""

import json
import os
from pathlib import Path

from xinglin import disk
from xinglin.base.check import Failed, NotUnderstood, NotVerified, require
from xinglin.base.ids import NetworkId
from xinglin.base.policy import Policy, read_policy
from xinglin.client.codes import ClientCode
from xinglin.client.verify import Verdict, verify_file
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.module import ModuleSet


def config_folder() -> Path:
    """`XINGLIN_CONFIG`, else the place that XDG or the home folder gives."""
    named = os.environ.get("XINGLIN_CONFIG")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "xinglin"


def read(folder: Path) -> dict[str, NetworkId]:
    """chain name -> network id. Errors  NotUnderstood PIN_NOT_UNDERSTOOD."""
    file = folder / "networks.json"
    if not file.exists():
        return {}
    try:
        found = {str(chain): bytes.fromhex(network) for chain, network in json.loads(file.read_text()).items()}
    except (ValueError, AttributeError, TypeError, RecursionError, OSError):
        raise NotUnderstood(ClientCode.PIN_NOT_UNDERSTOOD, str(file)) from None
    if any(len(network) != 32 for network in found.values()):
        raise NotUnderstood(ClientCode.PIN_NOT_UNDERSTOOD, str(file))
    return found


def write(folder: Path, chain: str, network: NetworkId) -> None:
    """Trust a network from now on, under its chain id, which ends with the beginning of the network's.

    Errors  NotUnderstood PIN_NAME_OF_ANOTHER, PIN_DIFFERS when the name is pinned to another; Failed
            PINS_NOT_WRITTEN.
    """
    require(chain.endswith(f"-{network[:8].hex()}"), ClientCode.PIN_NAME_OF_ANOTHER, chain)
    try:
        disk.make_folder(folder)
        lock = disk.lock_file(folder / "networks.lock", wait=True)      # two that add at once both count
    except OSError as error:
        raise _not_written(folder, error) from None
    try:
        pins = read(folder)
        if pins.get(chain, network) != network:
            raise NotUnderstood(ClientCode.PIN_DIFFERS, chain)
        if chain not in pins:
            pins[chain] = network
            text = json.dumps({name: one.hex() for name, one in sorted(pins.items())}, indent=1)
            disk.replace_file(folder / "networks.json", text.encode())
    except OSError as error:
        raise _not_written(folder / "networks.json", error) from None
    finally:
        os.close(lock)


def _not_written(path: Path, error: OSError) -> Failed:
    return Failed(ClientCode.PINS_NOT_WRITTEN, f"{path}: {error.strerror}")


def policy_of(folder: Path, network: NetworkId) -> Policy | None:
    """The policy that goes with a pin, if any. Errors  NotUnderstood POLICY_NOT_UNDERSTOOD, PIN_NOT_UNDERSTOOD."""
    file = folder / f"{network.hex()}.policy"
    try:
        return read_policy(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotUnderstood(ClientCode.PIN_NOT_UNDERSTOOD, f"{file}: {error.strerror}") from None


def write_policy(folder: Path, network: NetworkId, data: bytes) -> Policy:
    """From now on, files of this network are believed only if they pass this policy.

    Errors  NotUnderstood POLICY_NOT_UNDERSTOOD; Failed PINS_NOT_WRITTEN.
    """
    policy = read_policy(data)
    file = folder / f"{network.hex()}.policy"
    try:
        disk.replace_file(file, data)
    except OSError as error:
        raise _not_written(file, error) from None
    return policy


def remove_policy(folder: Path, network: NetworkId) -> bool:
    """Ask for no cosignatures any more, and take the manifest's keys again. Whether there was a policy, readable or
    not. Errors  Failed PINS_NOT_WRITTEN.
    """
    file = folder / f"{network.hex()}.policy"
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _not_written(file, error) from None
    return True


def verify(data: bytes, trusted: list[NetworkId], modules: ModuleSet, given: Policy | None = None,
           folder: Path | None = None) -> Verdict:
    """Verify a file under whichever of the trusted networks it names; under the policy that is given, else under the
    one that stands beside the network's pin in `folder`.

    Errors  NotVerified NETWORK_NOT_PINNED when none is trusted, OTHER_NETWORK when it names none of them.
    """
    def verified(network: NetworkId) -> Verdict:
        kept = policy_of(folder, network) if given is None and folder is not None else given
        return verify_file(data, network, modules, kept)

    if len(trusted) == 1:
        return verified(trusted[0])
    try:
        return verify_file(data, None, modules)
    except NotVerified as error:
        named = error.facts.get("network")
        if error.code is not KernelCode.NETWORK_NOT_PINNED or not trusted:
            raise
        if named not in trusted:
            raise NotVerified(KernelCode.OTHER_NETWORK, error.detail, network=named) from None
        return verified(named)
