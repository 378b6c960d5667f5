"""A small service: it answers every request with how long it has been up."""
