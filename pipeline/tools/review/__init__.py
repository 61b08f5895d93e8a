"""What a branch changed: is anything stale, a report for a pull request, and its comment."""
