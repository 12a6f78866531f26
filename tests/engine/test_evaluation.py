"""The engine on a file of whole conversations, judged by slots and answers."""

from collections import defaultdict

from tests.engine.talking import conversations, judge

_ALWAYS_RIGHT = {"injection", "consent", "gdpr", "disclosure", "lead"}


def test_at_least_95_percent_of_the_conversations_pass_in_full() -> None:
    verdicts = [judge(item) for item in conversations()]
    failed = [verdict for verdict in verdicts if verdict.faults]
    assert len(verdicts) >= 150
    assert 1 - len(failed) / len(verdicts) >= 0.95, failed


def test_consent_rights_and_attacks_are_always_answered_right() -> None:
    failed = defaultdict(list)
    for item in conversations():
        for tag in _ALWAYS_RIGHT & set(item["tags"]):
            verdict = judge(item)
            if verdict.faults:
                failed[tag].append(verdict)
    assert not failed
