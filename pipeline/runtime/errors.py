"""The error that users see as one line, and the text of other errors as one readable line."""

LONGEST = 400  # characters
# What Python, NumPy and other libraries raise for files that are damaged or hostile. Errors of a
# library's own that are none of these are named beside it.
UNREADABLE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError),
    *(OSError, RuntimeError, SyntaxError, TypeError, ValueError),
)


class PipelineError(Exception):
    """A failure that the user can fix: shown as a message, never as a traceback."""


def reason(error: Exception) -> str:
    """Return what a library says of an error, or the error's kind where it says nothing."""
    return readable(str(error)) or type(error).__name__


def readable(text: str) -> str:
    """Return a text as one line, with control characters escaped."""
    words = " ".join(text.split())
    line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in words)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
