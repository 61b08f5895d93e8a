"""Jobs on a Dask cluster that is there already; no file system need be shared with it."""
