//! Small, real programs on `durable-runtime`; each is an example target of its own.
