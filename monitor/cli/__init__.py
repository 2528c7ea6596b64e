"""The command line: nouns and verbs. Exit codes: 0 well, 1 something failed or was found wrong, 2 wrong usage,
3 some of several failed, 4 configuration, 5 another process holds the database, 130 interrupted.
"""

from __future__ import annotations

import sys

from monitor.cli.main import app
from monitor.console import err, show_query_error
from monitor.errors import AlreadyRunning, ConfigError, MonitorError, QueryError

CONFIGURATION = 4
LOCK_HELD = 5


def main() -> None:
    """The `monitor` command. Our own errors end as one sentence on stderr and an exit code, never as a traceback."""
    try:
        app()
    except QueryError as error:
        show_query_error(error)
        sys.exit(1)
    except AlreadyRunning as error:
        err.print(str(error), markup=False, style="red")
        sys.exit(LOCK_HELD)
    except ConfigError as error:
        err.print(f"configuration: {error}", markup=False, style="red")
        sys.exit(CONFIGURATION)
    except MonitorError as error:
        err.print(str(error), markup=False, style="red")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
