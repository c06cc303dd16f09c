//! Rows of the list of what has gone wrong in systems like this one, each as a case of its whole kind: a shard with a
//! connector against the paper exchange, on both exchanges. `docs/cases.md` maps rows to tests.

mod cases;
mod world;
