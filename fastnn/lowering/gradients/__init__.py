"""Gradients of weights, from backward to the updated weight, in stages:

- *produce* (``product.py``): what a gradient is the sum of, such as a product over the batch;
- *reduce* (``reduce.py``): the sum, over slices of the examples in a fixed order, and over all who
  contribute, to flat memory that has the layout of the optimizer's slots (``weights.py``);
- *finish* (``finish.py``): the regularizer's part, clipping by value, squares, norms;
- *guard* (``guard.py``): nothing goes on that is not finite, and the global norm is settled;
- *update* (``update.py``): clipping by norm, the optimizer's step, averages, constraints.

``stage.py`` puts their ops in order. The one shortcut: where reducing and finishing are trivial, a
gradient goes from the registers that hold its sums straight into its update, and is nowhere as a
whole. Who needs more than that says so (``need.py``): ``clipping.py``, ``averages.py``,
``constraints.py``, ``muon.py``. In between are norms of gradients that are never stored
(``product_norms.py``).
"""
