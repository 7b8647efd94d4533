"""Types of numbers in results, which are checked whenever a record is made or read.

Attributes
----------
Number
    Small enough that sums and squares of many stay finite.
Measure
    A number, or None where it could not be measured: rounding left none, or nobody asked.
Share
    From 0 to 1, as an error rate.
"""

from typing import Annotated

from msgspec import Meta

Number = Annotated[float, Meta(ge=-1e100, le=1e100)]
Size = Annotated[float, Meta(ge=0, le=1e100)]
Positive = Annotated[float, Meta(gt=0, le=1e100)]
Measure = Number | None
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
