"""Integer units. The bound of each is also the width of its key: 1, 4 or 8 bytes."""

from typing import Annotated

from msgspec import Meta

U8 = Annotated[int, Meta(ge=0, le=2**8 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]

Millis = U63      # milliseconds since 1970-01-01T00:00:00Z
Hours = U32       # whole hours since 1970-01-01T00:00:00Z
Minutes = U32     # whole minutes since 1970-01-01T00:00:00Z
Days = U32        # whole days since 1970-01-01
Height = U63      # of a block; genesis is 0
Index = U63       # of a leaf in the history tree
Count = U32
Epoch = U32       # a row's counter of changes
Units = U32       # cost of a message, share of a quota
CodeNumber = U32  # 0 ok, else the number of a refusal

MS_PER_SECOND = 1_000
MS_PER_MINUTE = 60_000
MS_PER_HOUR = 3_600_000
MS_PER_DAY = 86_400_000
