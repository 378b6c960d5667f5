"""Images: assembled from layers, read out of the store, checked, and written where a build wants them."""
