"""What of a user's environment a command leaves aside, or refuses in one line, before it does anything."""

import os
import sys

from lakehouse.errors import LakehouseError


def leave_out_python_path() -> None:
    """Takes the folders of PYTHONPATH out of where modules are looked for, here and in child processes.

    A package of another version there, or a file named like one, would stand in for what was installed with us.
    """
    given = os.environ.pop("PYTHONPATH", "")
    folders = {os.path.realpath(folder) for folder in given.split(os.pathsep) if folder}
    here = os.path.realpath(os.path.dirname(os.path.dirname(__file__)))
    sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) not in folders - {here}]


def print_anything() -> None:
    """Lets signs through as escapes that the terminal's encoding has not, instead of failing on them."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def from_outside(error: Exception) -> LakehouseError | None:
    """The one line for an error that the machine's state makes, not the code: a folder that is gone, a right, AWS."""
    if isinstance(error, OSError):
        try:
            os.getcwd()
        except OSError:
            return LakehouseError("the working directory is gone: change to one that is there")
        named = f"{error.filename}: " if error.filename is not None else ""
        return LakehouseError(f"{named}{error.strerror or error}: see to it that this user may use it, and try again")
    if type(error).__module__.startswith("botocore."):
        return LakehouseError(f"AWS: {error}: look at the AWS_* variables, and at ~/.aws if there is one")
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return LakehouseError("this user has no home directory: set HOME, or write paths without ~")
    return None


def settle_profile(needed_by: str | None) -> None:
    """Leaves an AWS_PROFILE aside that nothing needs: credentials of the local stack are there, or no AWS is used.

    Raises LakehouseError for one that is needed and that the AWS configuration does not have.
    """
    name = next((each for each in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE") if os.environ.get(each)), None)
    if name is None:
        return
    import botocore.session  # only where it is asked: a command should not wait for it

    if os.environ[name] in botocore.session.Session().available_profiles:
        return
    with_keys = bool(os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_ENDPOINT_URL"))
    if needed_by is not None and not with_keys:
        raise LakehouseError(
            f"{name} is {os.environ[name]!r}, and the AWS configuration has no such profile: unset it, or name one of "
            f"`aws configure list-profiles` ({needed_by} needs AWS)"
        )
    for each in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        os.environ.pop(each, None)
