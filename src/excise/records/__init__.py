"""What a record, a data folder and a user's mistake are; reading and writing every file format."""

from excise.records.data import Data, require_forgettable
from excise.records.errors import ExciseError, InputError, did_you_mean
from excise.records.pseudonym import pseudonym
from excise.records.reading import read
from excise.records.record import KINDS, SPLITS, Kind, Record, Split, Task, Use
from excise.records.writing import new_folder, write_data, write_json, write_text

__all__ = [
    "KINDS",
    "SPLITS",
    "Data",
    "ExciseError",
    "InputError",
    "Kind",
    "Record",
    "Split",
    "Task",
    "Use",
    "did_you_mean",
    "new_folder",
    "pseudonym",
    "read",
    "require_forgettable",
    "write_data",
    "write_json",
    "write_text",
]
