"""What CI asks and says of a branch: what is stale, what changed, and the comment about it."""
