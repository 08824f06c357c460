"""Starting from trained weights: reading and matching them to a model. Light zone."""
