"""What the ledger can do on this machine, each figure beside a baseline of the same run."""
