"""What a model is: loading, its parts, its chat format, rows and packing, batched answers."""

from excise.vlm.chat import Chat
from excise.vlm.features import FeatureCache, feature_cache
from excise.vlm.generation import answer
from excise.vlm.load import VLM, load
from excise.vlm.packing import EncodedRow, Packer, role_id
from excise.vlm.parts import Parts, find_parts, linear_targets
from excise.vlm.rows import Row, Turn, rows_from_records

__all__ = [
    "VLM",
    "Chat",
    "EncodedRow",
    "FeatureCache",
    "Packer",
    "Parts",
    "Row",
    "Turn",
    "answer",
    "feature_cache",
    "find_parts",
    "linear_targets",
    "load",
    "role_id",
    "rows_from_records",
]
