"""A cache that machines share: what keys came to, in an OCI repository or layout. `spec/cache.md` is its format."""
