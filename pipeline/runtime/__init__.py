"""What every stage needs: parameters, errors, its command line, the files that stages exchange.

An edit in here runs every stage again.
"""
