"""Imports the program once, then runs each `mien` command in a fork of its own: importing takes seconds.

As a module: `python -m tests.support.command_server SOCKET`. It ends when its standard input is closed.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
from importlib import import_module

from app.cli.program import COMMANDS, load_command, main


def serve(path: str) -> None:
    """Fork for each connection until standard input is closed."""
    # The kernel reaps the children.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for name in COMMANDS:
        load_command(name)
    # Also imported late.
    import_module("app.db.run_migrations")
    # A collection in a fork would copy every page.
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while select.select([listener, sys.stdin], [], [])[0] == [listener]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _run_command(connection)


def _run_command(connection: socket.socket) -> None:
    """Run the command that the client asks for, in this process, and exit with its code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    connection.sendall(f"{os.getpid()}\n".encode())
    with connection.makefile("r") as lines:
        request = json.loads(lines.readline())
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["mien", *request["arguments"]]
    code = _exit_code()
    # As at the end of a program, but without taking down every module: that takes longer than most commands.
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        if not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(f"{code}\n".encode())
    os._exit(code)


def _exit_code() -> int:
    try:
        main()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
