"""A process that appends records as fast as they become durable and prints each acknowledged one.

Started by test_journal.py, which kills it.  Arguments: path of the journal, name of this run.
"""

import asyncio
import sys
from pathlib import Path

from gateway.clock import Clock
from gateway.journal import Journal
from signaling.ids import Epoch, NodeCode, Seq
from signaling.records import AuditRead
from tests.support.places import COUNTY, auditor

WRITERS = 8


async def write_forever(journal: Journal, run: str, writer: int) -> None:
    number = 0
    while True:
        number += 1
        name = f"{run}:{writer}:{number}"
        record = AuditRead(node=COUNTY, at=Clock().at(), by=auditor(), what=name, reason="proof")
        cursor = (NodeCode(f"{writer:012d}"), Epoch("e"), Seq(number))
        seq = await journal.append(record, via=cursor[0], cursor=cursor)
        sys.stdout.write(f"{name} {seq}\n")
        sys.stdout.flush()


async def main() -> None:
    journal = Journal.open(Path(sys.argv[1]), COUNTY, Clock())
    async with asyncio.TaskGroup() as tasks:
        for writer in range(WRITERS):
            tasks.create_task(write_forever(journal, sys.argv[2], writer))


asyncio.run(main())
