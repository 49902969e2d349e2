//! Tests over the real binary, foreign clients and the workspace itself.
