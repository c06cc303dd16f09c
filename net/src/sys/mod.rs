//! Every `unsafe` of this crate, behind functions that are safe for any argument.
//!
//! * `ring`: the io_uring. Owns the memory the kernel reads and writes, and gives it up only when the kernel has
//!   reported that it is done with it.
//! * `buffers`: the provided-buffer ring that receives take their memory from.
//! * `socket`: socket options and the listener, which `std` cannot express.

mod buffers;
mod ring;
mod socket;

pub(crate) use ring::{Completion, GENERATION_MASK, Generation, Lease, Ring, RingSetup};
pub(crate) use socket::{memlock_bytes, open_listener, open_outgoing, reset_on_close};
