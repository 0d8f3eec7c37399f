//! Child processes: the launcher and the runners of batch and stream programs.
