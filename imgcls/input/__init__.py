"""From a split to local batches on the devices: order, augmentation, iterators. Light zone."""
