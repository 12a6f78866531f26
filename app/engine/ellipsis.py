"""Messages that leave out what the last ones said: what they are short for, by their words alone."""

import re

from app.engine.normalise import Text
from app.engine.patterns import Pattern

_CHEAPER = Pattern(
    r" (?:tansz|tani|nizsz|nizej|prostsz|skromn|cheaper|lower|simpler|one down|next down|less expensive|ponizej|below)"
)
_CHOICE = re.compile(r"^(?: (?!co |ktor|jak|ile |czy |what |which |how |is |are )\S+){1,4} $")
"""Few words and none that asks."""
_STEP = Pattern(
    r"^(?: (?:a|no|i|ok|cos|czy|jest|macie|bylby|moze|poprosze|to|da|sie|jakis|jakies|jeszcze|pakiet|wariant|opcja|opcje|wersja|nieco|troche|"
    r"krok|o|wiec|ale|but|anything|something|and|is|there|any|the|one|got|have|you|do|what|about|bit|little|even|still))*"
    r" (?:taniej|tansz\w*|nizsz\w*|nizej|skromniej\w*|prostsz\w*|drozej|drozsz\w*|lepiej|lepsz\w*|wyzsz\w*|wyzej|bogatsz\w*|cheaper|better|pricier|higher|lower|nicer|kolejn\w*|nastepn\w*|next(?: one)?(?: up| down)?|one up|one down|(?:more|less) expensive)"
    r"(?: (?:pakiet|wariant|opcja|opcje|opcji|wersja|poziom|standard|sie|da|niz|ten|to|tego|jest|macie|jakis|one|option|package|than|that|this|please|prosze))* $"
)
_TOO_DEAR = Pattern(
    r"^(?: (?:a|to|no|ale|oj|troche|chyba|jednak|niestety|that|it|s|is|jest|bedzie|dla|mnie|nas|sorry|but|i|we|m|afraid))*"
    r" (?:nie stac|poza (?:moim |naszym )?budzetem|ponad (?:moj |nasz )?budzet|przekracza (?:moj |nasz )?budzet|nie mam tyle|za duzo|too much|can t afford|cannot afford|over my budget)"
    r"(?: (?:mnie|nas|niestety|na|to|tyle|pieniedzy|kasy|dla|for|me|us|it|that|this))* $"
)
_EVERYWHERE = Pattern(
    r"^(?: (?:a|i|czy|to|jest|sa|and|is|it|w|we|na|dla|do|for|in|with|only|tylko))*"
    r" (?:kazd(?:ym|y|ego|ej|a)|wszystki(?:ch|e|m)|every|each|all)(?: (?:z|of|nich|them|one|pakie\w*|packages?|wariant\w*))* $"
)
_TOO = Pattern(r" (?:tez|takze|rowniez|too|also|as well) ")
_HOUR = Pattern(
    r"^(?: (?:na|o|po|okolo|at|to|moze|or|albo|a|jutro|tomorrow))* \d{1,2}(?: \d\d)?(?: (?:am|pm|rano|wieczorem|jutro|prosze|please))* $"
)
_SHORT = 5
_AND = Pattern(r"^ (?:a|i|and|what about) (?!(?:ile|jak\w*|kiedy|czy|how|when|what|is|are) )(?:\S+ ){1,3}$")
_WHOLE = Pattern(
    r" (?:calosc|calego|calo\w*|razem|wszystk\w*|mieszkan\w*|pakie\w*|total|whole|everything|flat|package) "
)


def is_step(text: Text) -> bool:
    """True for "a drożej?", "coś niżej", "anything better": the package beside the one talked about."""
    return _STEP.search(text.joined, text.signs) is not None


def is_too_dear(text: Text) -> bool:
    """True for "nie stać mnie", "over my budget"."""
    return _TOO_DEAR.search(text.joined, text.signs) is not None


def cheaper(text: Text) -> bool:
    """True when something below what was named is asked for."""
    return _CHEAPER.search(text.joined, text.signs) is not None or is_too_dear(text)


def is_choice(text: Text) -> bool:
    """True for a few words none of which asks: an answer to "which one?" rather than a question."""
    return _CHOICE.match(text.joined) is not None


def is_appended(text: Text) -> bool:
    """True for "a projekt?", "and the design": the last question about something else."""
    return _AND.search(text.joined, text.signs) is not None


def is_of_every(text: Text) -> bool:
    """True for "w każdym?", "in all packages?"."""
    return _EVERYWHERE.search(text.joined, text.signs) is not None


def is_also(text: Text) -> bool:
    """True for "na materiały też?"."""
    return len(text.words) <= _SHORT and _TOO.search(text.joined, text.signs) is not None


def is_hour(text: Text) -> bool:
    """True for "na 12", "o 17:30", "at 5 pm"."""
    return _HOUR.search(text.joined, text.signs) is not None


def is_price_of_it(text: Text) -> bool:
    """True for a short question for a price that does not name the whole home or a package."""
    return len(text.words) <= _SHORT and _WHOLE.search(text.joined, text.signs) is None
