"""The real five-tier subtree the demo runs on, and people of it."""

from pathlib import Path

from signaling import division
from signaling.ids import NodeCode
from signaling.records import Actor, Role

TABLE = Path(__file__).parents[2] / "configs" / "demo" / "divisions.csv"
TREE = division.parse(TABLE.read_text(encoding="utf-8"))

PROVINCE = NodeCode("430000000000")
CITY = NodeCode("430400000000")
COUNTY = NodeCode("430423000000")
TOWNSHIP = NodeCode("430423100000")
VILLAGE = NodeCode("430423100227")
VILLAGES = TREE.children(TOWNSHIP)
SIBLING = next(v for v in VILLAGES if v != VILLAGE)
OTHER_TOWNSHIP = next(t for t in TREE.children(COUNTY) if t != TOWNSHIP)
OTHER_VILLAGE = TREE.children(OTHER_TOWNSHIP)[0]


def commander(at: NodeCode = COUNTY) -> Actor:
    return Actor(name="王值班", role=Role.COMMANDER, division=at)


def leader(at: NodeCode = COUNTY) -> Actor:
    """Another commander: who approves and countersigns."""
    return Actor(name="陈带班", role=Role.COMMANDER, division=at)


def terminal(at: NodeCode = VILLAGE) -> Actor:
    return Actor(name="赵网格", role=Role.TERMINAL, division=at)


def auditor(at: NodeCode = CITY) -> Actor:
    return Actor(name="李督查", role=Role.AUDITOR, division=at)


def device(at: NodeCode = VILLAGE) -> Actor:
    return Actor(name="烟感-17", role=Role.DEVICE, division=at)
