"""Sources -> samples -> captions -> an imagefolder, by `python -m dataset_builder NAME`."""


class DataError(Exception):
    """Something that a user can mend: the command line says it in one line, without a traceback."""
