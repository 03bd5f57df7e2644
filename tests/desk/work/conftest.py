"""The specimen's desk: see `specimen_desk.py`."""

from tests.desk.specimen_desk import (  # noqa: F401
    new_desk,
    signing_key_file,
    specimen_people,
    trained,
)
