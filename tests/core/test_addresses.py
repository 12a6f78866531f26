"""One form of an address, and keyed hashes that outlive a change of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.addresses import normalise_email
from app.core.keys import KeyRing


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" Jan.Kowalski+dom@Example.PL ", "jan.kowalski+dom@example.pl"),
        ("ola@żółw.pl", "ola@xn--w-uga1v8h.pl"),
        ("OLA@ŻÓŁW.PL", "ola@xn--w-uga1v8h.pl"),
        ("ola@xn--w-uga1v8h.pl", "ola@xn--w-uga1v8h.pl"),
        ("Z\N{COMBINING DOT ABOVE}aba@x.pl", "\N{LATIN SMALL LETTER Z WITH DOT ABOVE}aba@x.pl"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    assert normalise_email(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "jan", "@x.pl", "jan@", "jan@x", "jan kowalski@x.pl", "a@b@x.pl", f"{'a' * 65}@x.pl", "jan@x..pl", "a\n@x.pl"],
)
def test_what_is_no_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not an e-mail address$"):
        normalise_email(text)


@given(st.text())
def test_an_address_is_its_own_form(text: str) -> None:
    try:
        address = normalise_email(f"{text}@example.pl")
    except ValueError:
        return
    assert normalise_email(address) == address


def test_a_hash_is_recognised_after_the_key_was_replaced() -> None:
    old = KeyRing("first")
    digest = old.digest("address", b"jan@x.pl")
    new = KeyRing("second", ["first"])
    assert new.current != old.current
    assert digest in new.digests("address", b"jan@x.pl").values()
    assert new.matches("address", b"jan@x.pl", digest, key_id=old.current)
    assert not new.matches("link", b"jan@x.pl", digest, key_id=old.current)
    assert not KeyRing("second").matches("address", b"jan@x.pl", digest, key_id=old.current)
