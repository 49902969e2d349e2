//! The verifier: from a bundle to a verdict, link by link, without I/O.
