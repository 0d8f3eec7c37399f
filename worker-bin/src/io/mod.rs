//! Sources, sinks and the temporary spill.
