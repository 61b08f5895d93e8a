"""Commands in folders of their own, several at once, on this machine or on a cluster."""
