"""The scenarios of ``fusebox demo``, and the demo itself."""
