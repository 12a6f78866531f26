"""How asking a language model fails."""


class ModelFailedError(Exception):
    """The model did not answer as it should. The message is the kind of failure and holds nothing of the answer."""


class ModelLateError(ModelFailedError):
    """The model did not answer in time."""
