//! Executors and tasks.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_lite::AsyncReadExt;
use glommio::timer::Timer;
use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};

use super::heartbeat::{HEARTBEAT, Pulse};
use super::sys;
use crate::seam::{Nanos, Runtime, Watch};

/// Memory that glommio registers with its rings for small direct reads and writes. Its default of 10 MiB would not fit the
/// 8 MiB that many systems let a process lock; larger buffers come from the heap.
const IO_MEMORY_BYTES: usize = 1 << 20;
/// Entries of each of glommio's rings: file operations only, of which a shard has a handful under way.
const RING_DEPTH: usize = 128;
/// The longest name that the kernel keeps for a thread.
const NAME_BYTES_MAX: usize = 15;
/// Calls that one executor's helper thread may have waiting. glommio's queue to it holds 4,096, and to wait for room in it
/// would be a wake from a foreign thread.
const OFFLOADED_MAX: usize = 256;
/// The timer of a turn: not yet due when it is set (a read of the clock later), due when the reactor looks at it. On a 2-core
/// virtual machine a turn takes 6.8 µs of CPU with 50 to 200 ns, 10 µs with 400, and 29 µs with 800 and more, for then
/// the executor goes to sleep in between. A poll of a readable descriptor takes 9 µs.
const TURN: Duration = Duration::from_nanos(100);
/// The longest that a turn's timer grows to, when its thread loses the CPU before it can be set.
const TURN_MAX: Duration = Duration::from_millis(1);

/// How an executor is started.
#[derive(Debug, Default)]
pub struct ExecutorOptions {
    /// Name of its thread, at most 15 bytes (the kernel keeps no more).
    pub name: String,
    /// The CPU it is pinned to.
    pub cpu: Option<usize>,
    /// Where the executor's heartbeat shows. The 10 ms timer runs without it too.
    pub heartbeat: Option<Pulse>,
}

/// Starts an executor on a thread of its own and runs `body` on it to its end.
///
/// # Errors
/// When the name is too long, or the thread or its rings cannot be made, with the remedy.
pub fn run_pinned<T, F>(
    options: ExecutorOptions,
    body: impl FnOnce(GlommioRuntime) -> F + Send + 'static,
) -> io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let ExecutorOptions { name, cpu, heartbeat } = options;
    if name.len() > NAME_BYTES_MAX {
        let text =
            format!("the thread name {name:?} is longer than {NAME_BYTES_MAX} bytes: choose a shorter one");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let (started, start) = std::sync::mpsc::channel::<io::Result<()>>();
    let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
        let builder = LocalExecutorBuilder::new(cpu.map_or(Placement::Unbound, Placement::Fixed))
            .name(&name)
            .io_memory(IO_MEMORY_BYTES)
            .ring_depth(RING_DEPTH)
            // By default the helper would share the shard's CPU, and wait there behind a shard that spins.
            .blocking_thread_pool_placement(PoolPlacement::Unbound(1));
        let executor = match builder.make() {
            Ok(executor) => executor,
            Err(error) => {
                let remedy = format!(
                    "{name}: {error}; io_uring needs kernel.io_uring_disabled=0, a seccomp filter that lets it pass and at \
                     least 512 KiB of lockable memory (RLIMIT_MEMLOCK: set LimitMEMLOCK= or `ulimit -l`), and a CPU to \
                     pin to must be online and allowed"
                );
                let _ = started.send(Err(io::Error::other(remedy)));
                return None;
            }
        };
        let _ = started.send(Ok(()));
        Some(executor.run(async move {
            // Not only for the watchdog: should glommio go to sleep over a runnable task, this timer ends the sleep.
            glommio::spawn_local(async move {
                loop {
                    if let Some(pulse) = &heartbeat {
                        pulse.beat();
                    }
                    glommio::timer::sleep(HEARTBEAT).await;
                }
            })
            .detach();
            body(GlommioRuntime { offloaded: Rc::default() }).await
        }))
    })?;
    start.recv().map_err(|_| {
        io::Error::other(
            "the executor's thread ended at once: io_uring needs Linux 5.8 or newer; see standard error",
        )
    })??;
    // The thread itself can end without a result, but only before `started`, and then nobody gets here.
    let waiter = std::thread::Builder::new().name("join".to_owned());
    waiter.spawn(move || match thread.join() {
        Ok(result) => result.expect("an executor that started returns its body's result"),
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Tasks of the current executor.
#[derive(Clone, Debug)]
pub struct GlommioRuntime {
    /// Calls that the helper thread has not answered.
    offloaded: Rc<Cell<usize>>,
}

impl GlommioRuntime {
    /// Runs `work`, which may block, on the executor's helper thread. `work` must not panic: the helper would be gone.
    pub(super) async fn offload<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        while self.offloaded.get() >= OFFLOADED_MAX {
            glommio::timer::sleep(Duration::from_millis(1)).await;
        }
        // Counted until it is answered or given up; the helper drops what was given up in its own time.
        struct Under(Rc<Cell<usize>>);
        impl Drop for Under {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        self.offloaded.set(self.offloaded.get() + 1);
        let _under = Under(Rc::clone(&self.offloaded));
        glommio::executor().spawn_blocking(work).await
    }
}

/// A running task. Dropping it does not cancel it.
pub struct GlommioTask(glommio::task::JoinHandle<()>);

impl Future for GlommioTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // `None` when the task has panicked: its panic has its own way out, and there is nothing more to wait for.
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}

type Armed = Pin<Box<dyn Future<Output = ()>>>;

/// See [`Watch`].
pub struct GlommioWatch {
    fd: RawFd,
    armed: Option<Armed>,
}

impl Watch for GlommioWatch {
    async fn ready(&mut self) {
        let fd = self.fd;
        let armed = self.armed.get_or_insert_with(|| {
            let stream = sys::armed_stream(fd);
            Box::pin(async move {
                // No second descriptor to be had: look again soon instead of never.
                let Ok(mut stream) = stream else {
                    glommio::timer::sleep(Duration::from_millis(1)).await;
                    return;
                };
                // The error is the point: it comes when the poll has fired.
                let _ = stream.read(&mut [0; 1]).await;
            })
        });
        armed.await;
        self.armed = None;
    }
}

impl Runtime for GlommioRuntime {
    type Task = GlommioTask;
    type Watch = GlommioWatch;

    fn spawn(&self, _name: &'static str, future: impl Future<Output = ()> + 'static) -> GlommioTask {
        // `glommio::spawn_local` would run the task's beginning at once, inside the caller, who may hold a borrow that the
        // task takes.
        let queue = glommio::executor().current_task_queue();
        let task = glommio::spawn_local_into(future, queue).expect("the queue of the running task exists");
        GlommioTask(task.detach())
    }

    async fn sleep(&self, span: Nanos) {
        glommio::timer::sleep(Duration::from_nanos(span.0)).await;
    }

    async fn turn(&self) {
        // A plain yield keeps the queue runnable, and glommio looks at its rings and timers only when no task is. A timer of
        // its own makes the task wait for that look. (One of zero is ready at the first poll and waits for nothing.)
        let mut span = TURN;
        loop {
            let mut timer = Timer::new(span);
            let mut waited = false;
            poll_fn(|cx| {
                let poll = Pin::new(&mut timer).poll(cx);
                waited |= poll.is_pending();
                poll
            })
            .await;
            if waited {
                return;
            }
            // This thread lost the CPU between making the timer and setting it.
            span = (span * 2).min(TURN_MAX);
        }
    }

    fn watch(&self, fd: RawFd) -> GlommioWatch {
        GlommioWatch { fd, armed: None }
    }
}
