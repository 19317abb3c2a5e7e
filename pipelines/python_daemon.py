"""The process in an executor that Spark's Python workers are forked from: PySpark's own daemon, made quick.

Spark runs it as ``python -m pipelines.python_daemon``, by the setting ``spark.python.daemon.module``.

The JVM puts PySpark's code, as it lies beside the installed one in a zip file, first on the import path. With each task
PySpark drops the import caches, and zip files then have their directories read again, once for each package that was
imported from there: 0.12 s of CPU a task, whatever the task does. So they are left out. What every pass imports is
imported before the workers are forked, once for all of them, and the garbage collector, which PySpark has look through
everything after each task (0.06 s), need not look through that.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path


def pyspark_archives(path: Sequence[str]) -> list[str]:
    """Return the entries of an import path that are zip files or JARs within the PySpark that is installed.

    There are none where PySpark is not installed; those of another Spark are none of them.
    """
    archives = [entry for entry in path if Path(entry).is_file()]
    installed = PathFinder.find_spec("pyspark", [entry for entry in path if entry not in archives])
    if installed is None or installed.origin is None:
        return []
    home = Path(installed.origin).resolve().parent
    return [entry for entry in archives if home in Path(entry).resolve().parents]


def leave_out(archives: Sequence[str]) -> None:
    """Take archives off the import path of this process, with what has been found in them so far.

    That is an empty package: `copy` and `pickle` look for Jython's ``org.python``, and Spark's JAR has an ``org``.
    """
    inside = tuple(archives)
    sys.path[:] = [entry for entry in sys.path if entry not in inside]
    # Found before any is taken away, as the path of a package without a file is made of its parent's.
    # Asked of the module's dictionary, as some modules (``torch.classes``) make up whatever attribute is asked for.
    packages = {
        name: list(getattr(module, "__dict__", {}).get("__path__", ())) for name, module in list(sys.modules.items())
    }
    for name in [name for name, path in packages.items() if any(str(entry).startswith(inside) for entry in path)]:
        del sys.modules[name]
    for entry in list(sys.path_importer_cache):
        if entry.startswith(inside):
            del sys.path_importer_cache[entry]


def main() -> None:
    """Serve the executor, until it ends."""
    leave_out(pyspark_archives(sys.path))

    import pyspark.daemon

    import pipelines.passes  # noqa: F401

    gc.collect()
    gc.freeze()
    pyspark.daemon.manager()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
