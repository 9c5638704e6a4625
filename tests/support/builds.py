"""Gateways as another build would be: ``python -m tests.support.builds BUILD node --config FILE``.

``older``: the present version, which cannot read a directive that names a plan (a later version's field) nor a word
of feedback (a later version's stage).  ``newer``: the next version, which reads all and understands the present.
``later``: a version after that, which understands the present no more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from signaling import messages, records
from signaling.errors import MalformedMessage
from signaling.messages import base
from signaling.records import AnyRecord, DeliveryAdvanced, DirectiveIssued, Stage

PRESENT = base.VERSION
_decode = records.decode


def decode_older(data: bytes) -> AnyRecord:
    """Read a record as a build that knows less."""
    record = _decode(data)
    match record:
        case DirectiveIssued(plan=plan) if plan:
            raise MalformedMessage("record: Object contains unknown field `plan`")
        case DeliveryAdvanced(stage=Stage.FEEDBACK):
            raise MalformedMessage("record: Invalid enum value 'feedback' - at `$.stage`")
        case _:
            return record


def _older() -> None:
    records.decode = decode_older


def _speaks(version: int, oldest: int) -> None:
    for module in (base, messages):
        vars(module).update(VERSION=version, OLDEST=oldest)


BUILDS: Mapping[str, Callable[[], None]] = {
    "older": _older,
    "newer": lambda: _speaks(PRESENT + 1, PRESENT),
    "later": lambda: _speaks(PRESENT + 2, PRESENT + 2),
}


def main() -> None:
    BUILDS[sys.argv.pop(1)]()
    from gateway.__main__ import main as wuji

    wuji()


if __name__ == "__main__":
    main()
