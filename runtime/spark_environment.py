"""The environment in which this machine's own Spark starts: nothing of another installation's settings leads it astray.

On EMR and Glue the platform's environment is the right one, and nothing here is called.
"""

import os
import pwd
import sys
from collections.abc import MutableMapping
from importlib.util import find_spec
from pathlib import Path

from lakehouse.errors import LakehouseError

# Another Spark's or Hadoop's home, settings and options: they would decide which classes and file systems are used.
FOREIGN = (
    "SPARK_HOME",
    "SPARK_CONF_DIR",
    "SPARK_DIST_CLASSPATH",
    "SPARK_JAVA_OPTS",
    "SPARK_SUBMIT_OPTS",
    "SPARK_DAEMON_JAVA_OPTS",
    "SPARK_REMOTE",
    "SPARK_CONNECT_MODE_ENABLED",
    "HADOOP_HOME",
    "HADOOP_CONF_DIR",
    "HADOOP_CLASSPATH",
    "HADOOP_OPTS",
    "YARN_CONF_DIR",
    "HIVE_CONF_DIR",
    "CLASSPATH",
    # What is in these would win over what we give the JVM; JAVA_TOOL_OPTIONS does not.
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    # Workers find our packages as this process does.
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
)
# Options that make the JVM's results those of every other machine, whatever its locale and clock.
SAME_EVERYWHERE = "-Duser.timezone=UTC -Duser.language=en -Duser.country=US -Dfile.encoding=UTF-8"


def own_spark(environment: MutableMapping[str, str] = os.environ) -> None:
    """Leads what starts from here to the Spark of this Python, under UTF-8 and with this machine as its only host.

    Raises LakehouseError for a user whom the machine does not know: Hadoop's login asks for the name.
    """
    _refuse_unknown_user()
    for name in FOREIGN:
        environment.pop(name, None)
    package = find_spec("pyspark")
    if package is not None and package.origin is not None:
        environment["SPARK_HOME"] = str(Path(package.origin).parent)
    environment["PYSPARK_PYTHON"] = environment["PYSPARK_DRIVER_PYTHON"] = sys.executable
    # The machine's own name need not resolve.
    environment["SPARK_LOCAL_IP"] = "127.0.0.1"
    environment["SPARK_LOCAL_HOSTNAME"] = "localhost"
    if sys.platform == "linux":
        # Java spells file names in the locale's encoding: in a POSIX locale it could not write an accent.
        environment["LC_ALL"] = "C.UTF-8"


def _refuse_unknown_user() -> None:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError as error:
        raise LakehouseError(
            f"the user with the id {os.getuid()} has no entry in /etc/passwd, and Spark does not start without one: "
            "add one, or run this as a user who has one"
        ) from error
