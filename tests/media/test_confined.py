"""A process that reads what strangers sent can open, connect to and start nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FORBIDDEN: dict[str, str] = {
    "a file": "open('/dev/null')",
    "a connection": "socket.socket()",
    "a connection in place of what was open": "os.close(0); socket.socket()",
    "a file in place of what was open": "os.close(0); os.open('/dev/null', 0)",
    "a program": "os.execv('/bin/true', ['true'])",
    "more memory": "bytes(2 << 30)",
    "root": "os.setuid(0)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_confined_process_has_no_way_out(what: str) -> None:
    """It says what it got, or the error it got."""
    program = f"""
import os, socket, sys
sys.path.insert(0, {str(ROOT)!r})
from media.confined import confine, open_nothing
import threading
confine(1 << 30, 20)
done = threading.Event()
threading.Thread(target=lambda: (open_nothing(), done.set())).start()
done.wait()
try:
    {FORBIDDEN[what]}
except (OSError, MemoryError) as error:
    os.write(1, type(error).__name__.encode())
else:
    os.write(1, b"got it")
os._exit(0)
"""
    said = subprocess.run([sys.executable, "-I", "-c", program], stdin=subprocess.PIPE, capture_output=True, check=True)
    assert said.stdout.decode() in ("PermissionError", "OSError", "MemoryError"), said.stderr.decode()
