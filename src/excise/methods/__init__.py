"""Methods of forgetting: one file a method, and `forget`, which makes a run with one of them."""

from excise.methods.anchored import Anchored
from excise.methods.forget import forget
from excise.methods.method import METHODS, Method
from excise.methods.refusal import Refusal
from excise.methods.registry import make
from excise.methods.smfa import SMFA

__all__ = ["METHODS", "SMFA", "Anchored", "Method", "Refusal", "forget", "make"]
