"""The command `read`: digits in pictures, from the command line."""
