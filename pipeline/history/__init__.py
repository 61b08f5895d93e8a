"""Earlier results, from Git and DVC: revisions, what they were made with, what is stale."""
