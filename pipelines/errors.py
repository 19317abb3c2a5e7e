"""The errors of the pipelines.

    PipelineError              the root: catch this to catch them all
    ├── SpecError              a spec is wrong: every fault at once, each with its place in the file
    ├── PreflightError         the machine or the cluster cannot run what is asked; found before anything starts
    ├── SessionError           Ray or Spark did not start, or was lost
    ├── StepError              a step failed on every row it was given, so the step is at fault
    ├── LawError               rows in and rows out of a step do not add up
    ├── HandoffError           rows did not arrive on the other side
    │   └── BlocksLostError    rows that had arrived were lost with their node
    ├── EmptyResultError       no row is left to go on with
    ├── RunRecordError         a run's record cannot be made, or is not there
    ├── StateError             what is kept of earlier runs is not known, or another run is at it
    ├── SchemaDriftError       the columns are not those that were agreed on, and the pipeline's contract forbids it
    └── BundleError            a saved bundle cannot be read or used

Every error takes one message, so that it survives pickling between processes.
"""

from __future__ import annotations


class PipelineError(Exception):
    """A pipeline cannot be built or run."""


class SpecError(PipelineError):
    """A spec is wrong; the message lists every fault with its place in the file."""


class PreflightError(PipelineError):
    """The machine or the cluster cannot run what is asked; the message names the cure."""


class SessionError(PipelineError):
    """Ray or Spark did not start in time, or was lost."""


class StepError(PipelineError):
    """A step failed on every row it was given."""


class LawError(PipelineError):
    """``in + created = out + rejected`` does not hold for a step."""


class HandoffError(PipelineError):
    """Rows did not arrive on the other side of a handoff."""


class BlocksLostError(HandoffError):
    """Rows that had arrived in Ray were lost with the node that held them, and there is no checkpoint of them."""


class EmptyResultError(PipelineError):
    """No row is left to go on with."""


class RunRecordError(PipelineError):
    """A run's record cannot be made, or there is none of that name."""


class StateError(PipelineError):
    """What a pipeline's earlier runs have left, its position or its schema, cannot be told, or another run holds it."""


class SchemaDriftError(PipelineError):
    """The columns are not those that were agreed on; the message names every one of them with both types."""


class BundleError(PipelineError):
    """A saved bundle cannot be read or used."""
