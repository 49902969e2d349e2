//! The buyer's side: a local OpenAI endpoint that pays, checks and keeps receipts.
