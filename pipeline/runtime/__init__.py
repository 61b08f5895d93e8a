"""What every stage stands on: parameters, errors, commands, and the files that stages exchange.

An edit in here runs every stage again.
"""
