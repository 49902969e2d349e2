//! The wire formats others speak: x402, OpenAI.
