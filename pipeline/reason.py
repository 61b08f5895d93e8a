"""Why something failed, for the end of a message: one line that can be read."""

LONGEST = 400  # characters


def reason(error: Exception) -> str:
    """Return what a library says of an error, or the error's kind where it says nothing.

    Whatever the text quotes of a file, it cannot command a terminal.
    """
    words = " ".join(str(error).split()) or type(error).__name__
    text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in words)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
