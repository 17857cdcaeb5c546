"""The errors a user can mend: printed as one line, never as a traceback."""


class LakehouseError(Exception):
    """Something outside the code is wrong; the message names it and says what to do."""
