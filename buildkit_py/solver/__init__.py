"""From a graph to results: keys, the plan of what to do next, and the scheduler that drives an executor."""
