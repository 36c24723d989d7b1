"""Have what was just proved cosigned: the tip is published, and the proof written under its witnesses' signatures."""

from pathlib import Path

from xinglin.base.limits import POLICY_BYTES_MAX
from xinglin.base.policy import Policy, read_policy
from xinglin.cli import files
from xinglin.cli.call import Call
from xinglin.engine.published import PublishedRow
from xinglin.home import Home
from xinglin.kernel.receipt import StateProof


def policy_in(file: Path | None) -> Policy | None:
    """Errors  NotUnderstood POLICY_NOT_UNDERSTOOD, and a file's own."""
    return None if file is None else read_policy(files.read(file, POLICY_BYTES_MAX))


def published(call: Call, home: Home, policy: Policy) -> PublishedRow:
    """The tip's checkpoint, of which each witness that did not sign is told. Errors  NotFound NOTHING_TO_PUBLISH."""
    row, asked = home.node.publish(policy)
    for one in asked:
        if one.why_not:
            call.warn(f"见证者 {one.witness} 未签名：{one.why_not}",
                      f"witness {one.witness} did not sign: {one.why_not}")
    return row


def cosigned(call: Call, home: Home, proof: StateProof, policy: Policy | None) -> StateProof:
    """The proof as it is, or as a policy asks. Errors  NotFound NOT_COSIGNED_YET."""
    if policy is None:
        return proof
    published(call, home, policy)
    return home.node.cosigned_proof(proof, policy)


__all__ = ["cosigned", "policy_in", "published"]
