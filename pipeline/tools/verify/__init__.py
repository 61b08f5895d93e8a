"""Do the committed results come out again, when everything is run from scratch elsewhere?"""
