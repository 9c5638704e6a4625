"""One process for one picture: asked a question on its input, it answers on its output and ends.

Whatever becomes of it (it hangs, dies, says too much) is an error for whoever asked, and nobody else's.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MAX_ANSWER_BYTES = 16 << 20


class WorkerError(Exception):
    """It said nothing, or not what was agreed."""


async def ask(
    program: Path, question: Mapping[str, Any], body: bytes, *, deadline_s: float, files: Sequence[int] = ()
) -> tuple[Mapping[str, Any], bytes]:
    """Start ``program``, give it ``question`` and ``body``; return the head and the body of its answer.

    Args:
        files: Descriptors it keeps, by the same numbers.

    Raises:
        TimeoutError: No whole answer within ``deadline_s``.
        WorkerError: It ended without an answer, or its answer is none.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        pass_fds=files,
    )
    try:
        async with asyncio.timeout(deadline_s):
            output = await _converse(process, json.dumps(question).encode() + b"\n" + body)
            await process.wait()
            return _read(output)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _converse(process: asyncio.subprocess.Process, said: bytes) -> bytes:
    """Say it and read until the process is done, or has said more than it may."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):  # it ended early: its answer tells
        process.stdin.write(said)
        await process.stdin.drain()
    process.stdin.close()
    answer = bytearray()
    while piece := await process.stdout.read(65_536):
        answer += piece
        if len(answer) > MAX_ANSWER_BYTES:
            raise WorkerError(f"more than {MAX_ANSWER_BYTES} bytes")
    return bytes(answer)


def _read(output: bytes) -> tuple[Mapping[str, Any], bytes]:
    head, _, body = output.partition(b"\n")
    try:
        answer = json.loads(head)
    except ValueError:
        raise WorkerError("it ended without an answer") from None
    if not isinstance(answer, dict):
        raise WorkerError("its answer is none")
    return answer, body
