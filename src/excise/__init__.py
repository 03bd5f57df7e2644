"""Remove chosen memories from a vision-language model and leave the rest of it alone.

    import excise

    vlm = excise.load("path-or-hub-id")
    data = excise.read("data/")
    run = excise.forget(vlm, data, method=excise.methods.Anchored(), out="runs/one")
    scores = excise.evaluate(run.apply(vlm), data)

Names are looked up when they are first used, so that `import excise` costs milliseconds and the
command line can print its help without loading torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from excise import bench as bench
    from excise import methods as methods
    from excise import specimen as specimen
    from excise.erasure.audit import audit as audit
    from excise.evaluate.evaluate import evaluate as evaluate
    from excise.methods.forget import forget as forget
    from excise.records.errors import InputError as InputError
    from excise.records.reading import read as read
    from excise.vlm.load import load as load
    from excise.weights.export import export as export
    from excise.weights.run import Run as Run
    from excise.weights.stack import stack as stack
    from excise.weights.verify import verify as verify

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "Run",
    "__version__",
    "audit",
    "bench",
    "evaluate",
    "export",
    "forget",
    "load",
    "methods",
    "read",
    "specimen",
    "stack",
    "verify",
]

# public name -> (module, attribute); no attribute: the module itself. `evaluate` is the room, which
# can be called: a function of that name would be shadowed as soon as anything imports the room.
_HOMES: dict[str, tuple[str, str | None]] = {
    "InputError": ("excise.records.errors", "InputError"),
    "Run": ("excise.weights.run", "Run"),
    "audit": ("excise.erasure.audit", "audit"),
    "bench": ("excise.bench", None),
    "evaluate": ("excise.evaluate", None),
    "export": ("excise.weights.export", "export"),
    "forget": ("excise.methods.forget", "forget"),
    "load": ("excise.vlm.load", "load"),
    "methods": ("excise.methods", None),
    "read": ("excise.records.reading", "read"),
    "specimen": ("excise.specimen", None),
    "stack": ("excise.weights.stack", "stack"),
    "verify": ("excise.weights.verify", "verify"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'excise' has no attribute {name!r}")
    home, attribute = _HOMES[name]
    module = import_module(home)
    value = module if attribute is None else getattr(module, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
