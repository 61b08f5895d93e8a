"""What the runs of a study come to: tables, summaries and pictures of them."""
