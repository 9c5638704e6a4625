"""A process that appends records to a journal, one commit after the other, and writes down each acknowledged one.

Started by test_crash_points.py on the disk of ``disk.c``.  Arguments: folder, number of records, and the SQLite
``synchronous`` to use instead of the journal's own, for the proof that the proof would notice.
"""

import asyncio
import os
import sys
from pathlib import Path

from gateway import logfile
from gateway.clock import Clock
from gateway.journal import Journal
from signaling.ids import Epoch, NodeCode, Seq
from signaling.records import AuditRead
from tests.support.places import COUNTY, auditor

WRITERS = 3
TEXT = "转移" * 40


async def write(journal: Journal, said: int, writer: int, count: int) -> None:
    for number in range(1, count + 1):
        name = f"{writer}:{number}:{TEXT}"
        record = AuditRead(node=COUNTY, at=Clock().at(), by=auditor(), what=name, reason="proof")
        peer = NodeCode(f"{writer:012d}")
        seq = await journal.append(record, via=peer, cursor=(peer, Epoch("e"), Seq(number)))
        os.write(said, f"{writer}:{number} {seq}\n".encode())


async def main() -> None:
    folder, count, synchronous = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if synchronous:
        honest = logfile.connect

        def careless(path: Path) -> object:
            connection = honest(path)
            connection.execute(f"PRAGMA synchronous = {synchronous[0]}")
            return connection

        logfile.connect = careless  # type: ignore[assignment]
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT, 0o600)
    journal = Journal.open(folder / "journal.sqlite", COUNTY, Clock())
    async with asyncio.TaskGroup() as tasks:
        for writer in range(WRITERS):
            tasks.create_task(write(journal, said, writer, count // WRITERS))
    os._exit(0)  # as it stands: nothing is put away


asyncio.run(main())
