"""What visitors write: the messages of the loads and of the engine's measurement."""

TYPICAL = "ile wyjdzie za 50 m w comforcie?"
"""A question that is answered with a quote and stays in the chat."""

CONVERSATIONS = (
    (
        "dzień dobry",
        "ile wyjdzie za 50 m w comforcie?",
        "a w premium?",
        "ile to trwa?",
        "czy w cenie są materiały?",
        "ok, dzięki, przemyślę",
    ),
    (
        "działacie w gdyni?",
        "poprosze wycene 62m2 expres plus",
        "dysponuje kwota ok 90 000 zl",
        "nie wiem, a co polecacie na wynajem",
        "jaką dajecie gwarancję?",
        "można umówić spotkanie?",
    ),
    (
        "Hi, do you speak English?",
        "I have an apartment of 64 m2 in Gdansk",
        "how long does Comfort take and what is included?",
        "Is it possible to pay in instalments?",
        "cheapest option for 38 square metres pls",
        "thanks, bye",
    ),
    (
        "szukam firmy do wykończenia mieszkania pod klucz",
        "Mam 52m2 w Warszawie, pakiet Premium, proszę o kontakt 691 222 333",
        "tak, wyrażam zgodę na kontakt w sprawie oferty",
        "kiedy zadzwonicie?",
        "a projekt wnętrza też robicie?",
        "dziękuję, do usłyszenia",
    ),
)
"""Four visitors; the last one leaves a telephone number and agrees to be called."""

HARD = (
    "asdf qwer zxcv " * 30,
    "a" * 2_000,
    "1 2 3 4 5 6 7 8 9 0 " * 100,
    "Mam mieszkanie 48,5 m2 i dom 120 m2, w Gdańsku i w Sopocie, budżet 90 tys. albo 150 000 zł, " * 20,
)
"""Long and strange ones, up to the longest that the API takes."""
