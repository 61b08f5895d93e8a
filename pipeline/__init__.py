"""Handwritten digits, from compressed files to a measured network.

Upstairs are the verbs, each a command (``python -m pipeline.stages.train``):

- ``stages``: one module per DVC stage, in the order of the data's way:
  ``download`` → ``preprocess`` → ``train`` → ``evaluate`` → ``plot``
- ``tools``: what people run around the pipeline: ``demo``

On the ground floor are the nouns that serve them, one thing each:

- ``stage``: what turns a function into a stage: typed parameters, a command line, clear errors
- ``mirrors``: a verified file from the first place that has it
- ``idx``: the file format that MNIST comes in
- ``split``: the choice of a validation set
- ``examples``: images with their labels, as arrays
- ``backend``: TensorFlow or JAX, chosen and pinned
- ``network``: the layers, the loss and the optimiser
- ``epoch_trainer``: a whole epoch as one compiled function
- ``model_file``: a network on disk, the same bytes every time
- ``environment``: what decides the bits of a training run
- ``predictions``: actual class, predicted class and confidence of every test image
- ``figures``: the pictures

Imports go down only: a verb imports nouns, a noun never imports a verb, no verb imports a verb.
"""
