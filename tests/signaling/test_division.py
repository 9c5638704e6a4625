"""The tree of divisions, on the real subtree of one county."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.division import MAX_SCOPE_ITEMS, Tree, TreeError, parse
from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.records import Mode, ScopeItem
from tests.support.places import CITY, COUNTY, PROVINCE, SIBLING, TOWNSHIP, TREE, VILLAGE, VILLAGES

HEADER = "code12,name,parent,tier,lon_gcj02,lat_gcj02\n"
ROOT = "430000000000,湖南省,,1,112.9,28.1\n"
places = st.sampled_from(list(TREE))
items = st.builds(ScopeItem, node=places, mode=st.sampled_from(Mode), tier=st.integers(0, 6))


def test_the_real_subtree_has_its_168_places() -> None:
    assert [sum(TREE.tier(c) == tier for c in TREE) for tier in range(1, 6)] == [1, 1, 1, 12, 153]
    assert TREE.root == PROVINCE
    assert TREE.name(TOWNSHIP) == "开云镇"


@given(places)
def test_the_size_of_a_subtree_is_known_without_walking_it(code: NodeCode) -> None:
    assert TREE.size(code) == len(list(TREE.subtree(code)))
    assert TREE.size(NodeCode("999999999999")) == 0


def test_a_village_knows_its_way_up() -> None:
    assert TREE.path_up(VILLAGE) == (VILLAGE, TOWNSHIP, COUNTY, CITY, PROVINCE)


@pytest.mark.parametrize(
    ("here", "to", "hop"),
    [
        (COUNTY, VILLAGE, TOWNSHIP),
        (PROVINCE, VILLAGE, CITY),
        (VILLAGE, PROVINCE, TOWNSHIP),
        (VILLAGE, SIBLING, TOWNSHIP),
        (VILLAGE, VILLAGE, None),
        (COUNTY, NodeCode("999999999999"), None),
        (NodeCode("999999999999"), COUNTY, None),
    ],
)
def test_the_next_hop_is_a_neighbour_on_the_way(here: NodeCode, to: NodeCode, hop: NodeCode | None) -> None:
    assert TREE.next_hop(here, to) == hop


@given(places, places)
def test_following_hops_arrives(here: NodeCode, to: NodeCode) -> None:
    hops = 0
    while here != to:
        hop = TREE.next_hop(here, to)
        assert hop is not None
        assert hop == TREE.parent(here) or TREE.parent(hop) == here
        here, hops = hop, hops + 1
    assert hops <= 8


@given(st.lists(items, min_size=1, max_size=6))
def test_a_scope_expands_to_exactly_the_places_it_means(scope: list[ScopeItem]) -> None:
    meant = set()
    for item in scope:
        for code in TREE:
            parent, path = TREE.parent(code), TREE.path_up(code)
            if {
                Mode.SELF: code == item.node,
                Mode.CHILDREN: parent == item.node,
                Mode.SUBTREE: item.node in path,
                Mode.TIER: item.node in path and TREE.tier(code) == item.tier,
            }[item.mode]:
                meant.add(code)
    if meant:
        expanded = TREE.expand(scope)
        assert set(expanded) == meant
        assert len(expanded) == len(meant)
    else:
        with pytest.raises(Refused, match="names no place"):
            TREE.expand(scope)


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ([], "empty-scope"),
        ([ScopeItem(node=VILLAGE, mode=Mode.CHILDREN)], "empty-scope"),
        ([ScopeItem(node=NodeCode("1"))], "unknown-node"),
        ([ScopeItem(node=VILLAGE)] * (MAX_SCOPE_ITEMS + 1), "scope-too-large"),
    ],
)
def test_a_scope_that_means_nothing_lawful_is_refused(scope: list[ScopeItem], code: str) -> None:
    with pytest.raises(Refused) as refused:
        TREE.expand(scope)
    assert refused.value.code == code


def test_more_than_forty_thousand_places_are_refused() -> None:
    rows = "".join(f"{430001000000 + n},村{n},430000000000,5,112,28\n" for n in range(40_001))
    tree = parse(HEADER + ROOT + rows)
    with pytest.raises(Refused) as refused:
        tree.expand([ScopeItem(node=PROVINCE, mode=Mode.CHILDREN)])
    assert refused.value.code == "scope-too-large"


def test_an_alarm_concerns_its_line_and_its_township() -> None:
    assert TREE.audience(VILLAGE) == {VILLAGE, TOWNSHIP, COUNTY, CITY, PROVINCE, *VILLAGES}
    assert TREE.audience(TOWNSHIP) == {TOWNSHIP, COUNTY, CITY, PROVINCE, *VILLAGES}
    assert TREE.audience(COUNTY) == {COUNTY, CITY, PROVINCE}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("code12,name\n", "missing columns"),
        (HEADER, "0 divisions without a parent"),
        (HEADER + ROOT + ROOT, "listed twice"),
        (HEADER + ROOT + "430400000000,市,999999999999,2,1,1\n", "parent 999999999999 is not listed"),
        (HEADER + ROOT + "430400000000,市,430000000000,1,1,1\n", "not below its parent"),
        (HEADER + ROOT + "4304,市,430000000000,2,1,1\n", "line 3: code12"),
        (HEADER + ROOT + "430400000000,,430000000000,2,1,1\n", "line 3: name"),
        (HEADER + ROOT + "430400000000,市,430000000000,two,1,1\n", "line 3: invalid literal"),
        (HEADER + ROOT + "430400000000,市,430000000000,2,nan,1\n", "line 3: tier"),
        (HEADER + ROOT + "430400000000,市,,2,1,1\n", "2 divisions without a parent"),
        (
            HEADER + ROOT + "430400000000,甲,430500000000,3,1,1\n430500000000,乙,430400000000,2,1,1\n",
            "not below its parent",
        ),
    ],
)
def test_a_table_that_is_no_tree_is_named(text: str, complaint: str) -> None:
    with pytest.raises(TreeError, match=complaint):
        parse(text)


def test_an_unknown_place_is_nobodys() -> None:
    stranger = NodeCode("999999999999")
    assert not TREE.is_within(stranger, PROVINCE)
    assert TREE.path_up(stranger) == ()
    assert stranger not in TREE
    with pytest.raises(Refused):
        TREE.name(stranger)


def test_an_empty_tree_is_refused() -> None:
    with pytest.raises(TreeError):
        Tree([])


def test_a_post_is_addressed_at_every_place_of_its_entry() -> None:
    scope = (
        ScopeItem(node=COUNTY, mode=Mode.TIER, tier=4, post="带班领导"),
        ScopeItem(node=VILLAGE),
    )
    posts = TREE.posts(scope)
    assert set(posts) == set(TREE.children(COUNTY))
    assert set(posts.values()) == {"带班领导"}
    for clash in ((ScopeItem(node=VILLAGE, post="值班员"),), (ScopeItem(node=TOWNSHIP, mode=Mode.CHILDREN, post="x"),)):
        with pytest.raises(Refused) as refused:
            TREE.posts((*scope, *clash))
        assert refused.value.code == "post-conflict"
