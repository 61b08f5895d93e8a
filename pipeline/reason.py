"""Why something failed, for the end of a message: one line that can be read."""

LONGEST = 400  # characters
# What Python, NumPy and other libraries raise for files that are damaged or hostile. Errors of a
# library's own that are none of these are named beside it.
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    SyntaxError,
    EOFError,
    OSError,
    MemoryError,
)


def reason(error: Exception) -> str:
    """Return what a library says of an error, or the error's kind where it says nothing."""
    return readable(str(error)) or type(error).__name__


def readable(text: str) -> str:
    """Return a text as one line that cannot command a terminal, whatever it quotes."""
    words = " ".join(text.split())
    line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in words)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
