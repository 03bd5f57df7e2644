"""One text for one value: JSON with sorted keys and nothing optional, as the chain hashes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def canonical(value: Any) -> str:
    """ASCII JSON, keys sorted, no spaces; NaN and infinities, which JSON lacks, become null.

    Raises:
        TypeError: something that JSON does not have.
    """
    return json.dumps(_finite(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
