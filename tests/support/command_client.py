"""Run a `mien` command in a fork of the command server (`command_server`); uses the standard library only.

As a script: `python -S command_client.py SOCKET ARGUMENT…` runs the command with this process's files and environment.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence


def run(
    server: str,
    arguments: Sequence[str],
    *,
    files: Sequence[int],
    environment: Mapping[str, str],
    timeout: float | None,
) -> int:
    """Run one command to its end, and return its exit code; minus 1 if it was killed.

    Args:
        server: the path of the server's socket.
        files: the descriptors of its standard input, output and error.
        timeout: seconds; the command is killed after that.

    Raises:
        TimeoutError: it took too long.
    """
    request = {"arguments": list(arguments), "environment": dict(environment)}
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("r") as answers:
        connection.connect(server)
        connection.settimeout(timeout)
        socket.send_fds(connection, [b"\n"], list(files))
        connection.sendall(json.dumps(request).encode() + b"\n")
        pid = int(answers.readline())
        try:
            code = int(answers.readline() or -1)
            # The connection closes when the process has ended.
            answers.read()
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
    return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:], files=(0, 1, 2), environment=os.environ, timeout=None))
