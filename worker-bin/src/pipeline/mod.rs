//! Pipeline and cluster files: parsing, validation, placement, fingerprints.
