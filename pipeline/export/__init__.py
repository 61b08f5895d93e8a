"""A network for use elsewhere: its file, its model card, the form that its images have."""
