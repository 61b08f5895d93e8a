"""Results in Git and DVC: revisions, how they were made, whether they are stale."""
