"""Handwritten digits, from compressed files to a measured network.

The rooms, which are folders, from those that use others down to those that others use. A module
imports from its own room and from some of the rooms further down (CONTRIBUTING.md has the
arrows), and never one that is a command:

- ``tools``: what people and CI run around the pipeline
- ``stages``: what ``dvc repro`` runs, a module a stage, from download to plot
- ``studies``: experiments with many trainings: ten seeds of each recipe, a search, label doubts
- ``studies/results``: tables, summaries and pictures of the studies
- ``reading``: digits in people's pictures, with a verdict on each
- ``report``: the figures and the page of a run
- ``jobs``: commands in folders of their own, several at once, here or on a cluster
- ``history``: results in Git and DVC: revisions, how they were made, whether they are stale
- ``export``: a network for use elsewhere: its file, its model card, the form of its images
- ``training``: the training loop: recipe, distorted images, epochs, checkpoints
- ``model``: the network: backend, layers, file on disk
- ``evaluation``: metrics of predictions: calibration, rejection, robustness
- ``data``: the raw files: where to get them, how to read them, how to split them
- ``runtime``: what every stage needs: parameters, errors, its command line, its files

``python -m pipeline`` lists the commands.
"""
