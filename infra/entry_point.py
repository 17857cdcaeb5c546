"""The short scripts that start a job: they look at the interpreter before anything of ours is imported.

The packages of a job are built for one Python, and under another our code is not even a program. So the script is
written for any Python 3, and says in one line what to set.
"""

TEXT = '''"""Starts a job, if the interpreter is the one that its packages are built for."""

import sys

WANTED = ({version})
REMEDY = "{remedy}"

if sys.version_info[:2] != WANTED:
    sys.exit(
        "lakehouse: this is Python %d.%d (%s), the packages of the job are for Python %d.%d: %s"
        % (sys.version_info[0], sys.version_info[1], sys.executable, WANTED[0], WANTED[1], REMEDY)
    )
try:
    from {module} import main
except ImportError as error:
    sys.exit("lakehouse: %s (%s) cannot import its packages: %s: %s" % (sys.executable, sys.prefix, error, REMEDY))

main()
'''


def entry_point(module: str, version: str, remedy: str) -> str:
    """The script that runs `main` of a module under this version of Python, such as `3.13`, and else says `remedy`."""
    return TEXT.format(module=module, version=version.replace(".", ", "), remedy=remedy)
