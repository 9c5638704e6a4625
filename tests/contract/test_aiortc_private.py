"""What we take of aiortc that it does not promise.  A name that vanishes fails here, not first in a call."""

import ast
import inspect
import textwrap

import pytest
from aiortc import rtcdtlstransport
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, State

import media.peer

OVERRIDDEN = {
    "_validate_peer_identity": ["self", "remoteParameters"],
    "_setup_srtp": ["self"],
    "_write_ssl": ["self"],
}
CALLED = {"_set_role": ["self", "role"], "_set_state": ["self", "state"]}
ATTRIBUTES = ("_ssl", "_srtp_profiles", "_role", "_state", "_transport", "_task")


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "expected"), [*OVERRIDDEN.items(), *CALLED.items()])
def test_a_private_method_has_the_shape_we_rely_on(name: str, expected: list[str]) -> None:
    assert parameters(getattr(RTCDtlsTransport, name)) == expected


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_private_attribute_is_set_by_the_constructor(name: str) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(RTCDtlsTransport.__init__)))
    targets = {
        target.attr
        for node in ast.walk(tree)
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute)
    }
    assert name in targets


def test_the_certificate_makes_its_context_where_we_raise_the_version() -> None:
    assert parameters(RTCCertificate._create_ssl_context) == ["self", "srtp_profiles"]
    assert "_create_ssl_context" in inspect.getsource(RTCDtlsTransport.start)


def test_the_transport_needs_of_ice_only_what_a_pipe_has() -> None:
    source = inspect.getsource(RTCDtlsTransport)
    used = {
        node.attr
        for node in ast.walk(ast.parse(textwrap.dedent(source)))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr in ("transport", "_transport")
    }
    assert used == {"_recv", "_send", "role"}


def test_the_peer_is_identified_before_keys_are_made() -> None:
    source = inspect.getsource(RTCDtlsTransport.start)
    identified, checked, keyed = (
        source.index(part)
        for part in (
            "_validate_peer_identity",
            "State.FAILED:\n            return\n\n        # Generate",
            "_setup_srtp",
        )
    )
    assert identified < checked < keyed


def test_the_states_are_those_we_look_at() -> None:
    assert {"CONNECTED", "CLOSED", "FAILED"} <= set(State.__members__)


def test_the_profiles_have_the_names_openssl_selects() -> None:
    assert rtcdtlstransport.SRTP_AEAD_AES_128_GCM.openssl_profile == b"SRTP_AEAD_AES_128_GCM"
    assert rtcdtlstransport.SRTP_AES128_CM_SHA1_80.openssl_profile == b"SRTP_AES128_CM_SHA1_80"
    assert [p.key_length + p.salt_length for p in media.peer.PROFILES.values()] == [28, 30]


def test_every_private_name_we_use_is_listed_here() -> None:
    """Attributes with a leading underscore on ``self`` in the subclasses, that are not our own."""
    own = {"_engine", "_owner", "_watch", "_hand_over", "_peer"}
    used = set()
    for cls in (media.peer._Dtls, media.peer._Certificate):
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                used.add(node.attr)
    private = {name for name in used if name.startswith("_")} - own
    assert private <= {*OVERRIDDEN, *CALLED, *ATTRIBUTES}
