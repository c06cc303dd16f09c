//! The runtime adapter: the one place that knows glommio (=0.9.0). Changing the executor changes this folder only.
//!
//! **Runs on**: [`run_pinned`] on the caller's thread; everything else on the executor it starts.
//! **Invariants** (DESIGN.md, Runtime choices): glommio's scheduler can leave runnable tasks waiting after preemption with
//! short timers or after wakes from foreign threads. So: the default 100 ms preempt timer, no latency-sensitive queues, and no
//! foreign wakers at all: what another thread has to say arrives as a completion on this executor's own ring (an eventfd
//! that is watched). Each executor has a 10 ms heartbeat, and [`Watchdog`] sees its age.
//! **Never**: glommio's own channels (unsound, slow).

pub mod heartbeat;
pub mod notify;

mod clock;
mod disk;
mod sys;
mod tasks;

pub use clock::{HostClock, HostEntropy};
pub use disk::{GlommioBuffer, GlommioDisk, GlommioFile};
pub use heartbeat::{Pulse, Watchdog};
pub use tasks::{ExecutorOptions, GlommioRuntime, GlommioTask, GlommioWatch, run_pinned};
