"""Handwritten digits, from compressed files to a measured network.

Upstairs are the verbs, each a command (``python -m pipeline.stages.train``):

- ``stages``: one module per DVC stage, in the order of the data's way:
  ``download`` → ``preprocess`` → ``train`` → ``evaluate`` → ``plot``
- ``studies``: what looks at the recipes as such: ``repeat`` → ``summarise``, ``illustrate``,
  ``doubt`` → ``depict``, the stages of ``studies/dvc.yaml``, and ``search``
- ``tools``: what people run around the pipeline, ``demo``, ``plots``, ``compare``, ``verify``,
  ``doctor``, and CI for them: ``stale``, ``report``, ``comment``

On the ground floor are the nouns that serve them, one thing each. Those of the stages:

- ``stage``: what a stage is given and may fail with: typed parameters, errors for people
- ``command``: what turns a stage into a command, and sees that nothing changes meanwhile
- ``yaml_text``: YAML as DVC reads it, within bounds
- ``reason``: why something failed, in one line that can be read
- ``atomic``: files that are there whole or not at all
- ``inputs``: what a stage reads, held against what was written
- ``sources``: this project's code, as it is loaded and as its files have it
- ``mirrors``: a verified file from the first place that has it
- ``idx``: the file format that MNIST comes in
- ``split``: the choice of a validation set
- ``examples``: images with their labels, as arrays
- ``backend``: TensorFlow or JAX, chosen and pinned
- ``network``: the layers and the loss
- ``recipe``: how a network is trained, and the optimiser of that
- ``distortion``: images turned, scaled, sheared, shifted and bent at random
- ``training``: a new network, trained by a recipe
- ``epoch_trainer``: training, epoch by epoch, each a compiled function
- ``tensorflow_epoch``, ``jax_epoch``, ``batches``: that function, and what it shows the network
- ``checkpoint``: what interrupted training goes on from
- ``model_file``: a network on disk, the same bytes every time
- ``model_archive``, ``model_config``, ``model_weights``: that file, checked, and read for Keras
- ``hdf5_arrays``: arrays out of a file that may break HDF5, read by a process of its own
- ``hdf5_reader``: what that process does
- ``environment``: what decides the bits of a training run
- ``curves``: loss and accuracy of every epoch
- ``predictions``: actual class, predicted class and confidence of every test image
- ``classification``: how many are right, in all and of each class
- ``calibration``: may confidence be taken for the share of answers that are right?
- ``rejection``: what the network decides alone, and what it leaves to people
- ``assessment``: both of these, set on some images and judged on others
- ``robustness``: digits moved, turned, thickened and in noise
- ``statistics``: is one of two classifiers really better?
- ``table``: tables of the plain kind that this project writes
- ``results``: metrics and tables on disk
- ``wording``: what metrics come to, in words
- ``figures``, ``evaluation_figures``: the pictures
- ``run``, ``run_charts``, ``run_page``, ``page_pictures``: a run on one page of HTML

Those of the studies:

- ``study``: recipes with one seed after the other, and what became of each run
- ``study_rejection``: what these runs can decide alone
- ``raw_examples``, ``label_doubts``: images as their file has them, labels that may be wrong
- ``study_figures``: the pictures of that

And those of the tools:

- ``tool``: what turns a function into a tool: a command line, a choice of formats, clear errors
- ``page``: paragraphs and tables, as text or as Markdown
- ``revisions``: what Git holds of the project
- ``lock``: what DVC recorded of every stage
- ``changes``: what differs between two trees of settings
- ``provenance``: what the results of a revision were made with
- ``comparison``, ``comparison_page``: two models on the same images, and how that is shown
- ``recipe_comparison``: two recipes, by several models of each
- ``staleness``: what would have to run, told without data
- ``run_log``: what a run did
- ``report_page``, ``curves_page``: what a branch changed, and that of its learning curves
- ``reproduction``, ``reproduction_page``: a lock and what came out again, and how that is shown
- ``clean_clone``: a revision run from scratch, on nothing but what is committed
- ``dvc_command``: DVC, run by this very Python
- ``checkup``: what was found of a set-up, what to do about it, and how that is shown
- ``installation``, ``accelerator``: Python with its packages, and the GPU
- ``working_copy``: what Git says of it, and whether ``dvc.lock`` is whole
- ``dvc_project``, ``storage``: the project as DVC sees it, and DVC's cache, links and remote
- ``dvc_books``: what DVC writes down for itself
- ``reachability``, ``disk_space``: where the data set can be had, and what there is room for
- ``plots_page``: what stands around DVC's plots, with the libraries that draw them

Imports go down only: a verb imports nouns, a noun never imports a verb, no verb imports a verb.
"""
