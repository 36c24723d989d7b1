"""Witnesses: who sees that a log only grows, and says so. The protocol without I/O, the server, and who asks it.

  protocol   requests and answers as bytes
  kept       one file a log: the last checkpoint that was cosigned; and evidence of two histories
  server     HTTP on the standard library
  within     one deadline for a whole exchange
  asking     a log's side: push a checkpoint, collect the cosignature

Source  C2SP tlog-witness
"""
