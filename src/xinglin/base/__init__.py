"""Values to bytes, hashes, proofs and verified signatures. Knows no rule of any domain."""
