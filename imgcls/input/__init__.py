"""From a split to the batches on a device: order, augmentation, iterators. Light zone."""
