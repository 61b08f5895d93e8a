"""Does a commit give its own results again, when it is run from scratch in a clean clone?"""
