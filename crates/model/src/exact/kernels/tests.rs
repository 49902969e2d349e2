//! Vector kernels against the definition, on random data: equal bits.

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRng};
