"""Handwritten digits, from compressed files to a measured network.

The rooms, from the top floor down. A module imports from its own room and from rooms further down
this list, never upwards, and nobody imports a module that is a command:

- ``tools``: what people and CI run around the pipeline, each in a folder of its own
- ``stages``: what ``dvc repro`` runs, a module a stage, from download to plot
- ``studies``: the recipes as such: ten seeds each, a search, doubts about labels
- ``studies/results``: tables, summaries and pictures of the studies
- ``report``: the figures and the page of a run
- ``history``: earlier results, as Git and DVC know them
- ``training``: a recipe at work: distortions, epochs, checkpoints
- ``model``: the network: backend, layers, file on disk
- ``evaluation``: from probabilities to judgements: calibration, rejection, robustness
- ``data``: the raw files: where to get them, how to read them, how to split them
- ``runtime``: what every stage stands on: parameters, errors, commands, files

``python -m pipeline`` lists the commands.
"""
