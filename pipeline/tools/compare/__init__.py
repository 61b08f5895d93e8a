"""Is a revision's model better than another's, worse, or the same within noise?

Also for two recipes, by all the seeds of a study.
"""
