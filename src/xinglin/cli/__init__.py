"""The command line: a noun, a verb, and what they need. Data on stdout, all else on stderr.

terminal  what a terminal adds: heads, width, progress      details   details of errors, in Chinese
parser    the tree of commands, and what they all share     call      one call: home, language, passphrases
help      examples first, in Chinese or English             show      tables, JSON, CSV
errors    an error in words, and its exit status            names     what people type, to ids
a file per noun: demo bench sim net member subject key record consent access proofs explain doctor clock

Exit: 0 ok, 1 error, 2 usage, 3 not found (public), 4 denied or not there, 5 verification failed or cannot
tell, 6 done in part, 130 interrupted.
"""

from xinglin.cli.entry import main

__all__ = ["main"]
