"""A Dockerfile written as a Buildfile: text out of the syntax, not out of the graph, so that a person knows it again.

    syntax.File ──stages──▶ those that the target needs ──▶ a `stage` each, the target an `image`
        ARG ──▶ params        words ──▶ values           RUN ──▶ run, with grants      COPY ──▶ kinds, copy

What it makes builds to the same files and the same configuration. Where a Buildfile can't say something, it is noted as
an error, and a comment stands in its place; what is assumed is a warning. All steps of a stage are one layer.
"""

from frontends.dockerfile.conversion.file import Conversion, convert_file

__all__ = ["Conversion", "convert_file"]
