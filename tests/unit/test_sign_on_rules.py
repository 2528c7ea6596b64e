"""Single sign-on, without a network: which keys and tokens count, and whom an identity lets in as what."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from identity_provider import EC, RSA, encoded, signed
from joserfc import jws
from joserfc.jwk import RSAKey

from monitor.model import Role
from monitor.pipeline.id_token import TokenRefused, read_claims, read_json, read_keys
from monitor.pipeline.sign_on import Admission
from monitor.pipeline.users import SignOnRefused

ADA = {"sub": "ada-0001", "email": "ada@example.org", "email_verified": True, "name": "Ada"}
GROUPS = (("ops", Role.ADMIN), ("heads", Role.ADMIN), ("library", Role.EDITOR), ("staff", Role.VIEWER))


@pytest.mark.parametrize(
    "listed",
    [
        {"kty": "oct", "k": encoded(RSA.as_pem(private=False)), "kid": "rsa-1"},
        {**RSA.as_dict(private=False), "use": "enc"},
        {**RSA.as_dict(private=False), "alg": "RS512"},
        {"kty": "RSA", "n": encoded((1 << 1023 | 1).to_bytes(128, "big")), "e": "AQAB", "kid": "rsa-1"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa-1"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "rsa-1"},
        {"kty": "RSA", "kid": "rsa-1"}, "nonsense", None, [],
    ],
    ids=["a secret", "for encryption", "for another algorithm", "short", "tiny", "not on the curve", "bare", "a word",
         "null", "a list"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Key size")
def test_a_key_that_is_none_for_this_signature_is_left_out(listed: object) -> None:
    keys = read_keys(json.dumps({"keys": [listed]}).encode())

    with pytest.raises(TokenRefused):
        read_claims(signed({"sub": "x"}), keys)
    both = read_keys(json.dumps({"keys": [listed, RSA.as_dict(private=False)]}).encode())
    assert read_claims(signed({"sub": "x"}), both) == {"sub": "x"}


def test_a_token_that_names_no_key_is_tried_with_each_that_fits() -> None:
    other = RSAKey.generate_key(2048, {"kid": "other"})
    document = {"keys": [key.as_dict(private=False) for key in (other, EC, RSA)]}
    nameless = RSAKey.import_key({k: v for k, v in RSA.as_dict(private=True).items() if k != "kid"})
    token = jws.serialize_compact({"alg": "RS256"}, b'{"sub": "x"}', nameless)

    assert "kid" not in json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert read_claims(token, read_keys(json.dumps(document).encode())) == {"sub": "x"}


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 100_000, '{"a": ' + "9" * 5000 + "}", "[]", "null", "", "{"])
def test_hostile_json_is_a_refusal(text: str) -> None:
    with pytest.raises(TokenRefused):
        read_json(text)


@pytest.mark.parametrize(
    ("claims", "admission", "comes_in"),
    [
        ({"email_verified": False}, {}, False),
        ({"email_verified": None}, {}, False),
        ({"email_verified": "false"}, {}, False),
        ({"email_verified": "true"}, {}, True),
        ({"email_verified": None}, {"trust_email": True}, True),
        ({"email": ""}, {"trust_email": True}, False),
        ({"email": ["ada@example.org"]}, {}, False),
        ({"email": "ada@example.org\r\nBcc: x@evil.example"}, {}, False),
        ({"email": "ada@example.org@evil.example"}, {"domains": frozenset({"evil.example"})}, False),
        ({}, {"domains": frozenset({"example.org"})}, True),
        ({"email": "ADA@EXAMPLE.ORG"}, {"domains": frozenset({"example.org"})}, True),
        ({}, {"domains": frozenset({"other.example"})}, False),
        ({"email": "ada@evilexample.org"}, {"domains": frozenset({"example.org"})}, False),
        ({"email": "ada@sub.example.org"}, {"domains": frozenset({"example.org"})}, False),
    ],
    ids=["unverified", "unsaid", "a word for no", "a word for yes", "trusted", "none", "several", "two lines", "two @",
         "domain", "in capitals", "other domain", "suffix", "below it"],
)  # fmt: skip
def test_an_address_counts_when_it_is_verified_and_of_a_domain_that_is_let_in(
    claims: dict[str, object], admission: dict[str, Any], comes_in: bool
) -> None:
    rules = Admission(**admission)

    if comes_in:
        assert rules.visitor("https://login.example.org", {**ADA, **claims}).subject == "ada-0001"
    else:
        with pytest.raises(SignOnRefused):
            rules.visitor("https://login.example.org", {**ADA, **claims})


@pytest.mark.parametrize(
    ("groups", "otherwise", "role"),
    [
        (["library", "ops"], None, Role.ADMIN), (["library"], None, Role.EDITOR), ("staff", None, Role.VIEWER),
        (["elsewhere"], Role.VIEWER, Role.VIEWER), (["elsewhere"], None, None), ([], None, None), (None, None, None),
        (["OPS", "ops "], None, None), ({"ops": True}, None, None), ([["ops"], 7], None, None),
    ],
    ids=["highest", "one", "a word", "none", "refused", "empty", "absent", "spelling", "object", "nested"],
)  # fmt: skip
def test_the_highest_group_gives_the_role(groups: object, otherwise: Role | None, role: Role | None) -> None:
    rules = Admission(groups=GROUPS, role=otherwise)
    claims = {**ADA, "groups": groups}

    if role is None:
        with pytest.raises(SignOnRefused, match="groups"):
            rules.visitor("https://login.example.org", claims)
    else:
        assert rules.visitor("https://login.example.org", claims).role is role


@pytest.mark.parametrize(
    ("path", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["ops"]}}),
        ("https://login.example.org/groups", {"https://login.example.org/groups": ["ops"]}),
    ],
    ids=["within", "a dot in the name"],
)
def test_groups_may_stand_deeper_or_under_a_long_name(path: str, claims: dict[str, object]) -> None:
    rules = Admission(groups=GROUPS, groups_claim=path, role=None)

    assert rules.visitor("https://login.example.org", {**ADA, **claims}).role is Role.ADMIN
