//! Executors and tasks.

use std::future::Future;
use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_lite::AsyncReadExt;
use glommio::{LocalExecutorBuilder, Placement};

use super::heartbeat::{HEARTBEAT, Pulse};
use super::sys;
use crate::seam::{Nanos, Runtime, Watch};

/// Memory that glommio registers with its rings for small direct reads and writes. Its default of 10 MiB would not fit the
/// 8 MiB that many systems let a process lock; larger buffers come from the heap.
const IO_MEMORY_BYTES: usize = 1 << 20;
/// Entries of each of glommio's rings: file operations only, of which a shard has a handful under way.
const RING_DEPTH: usize = 128;

/// How an executor is started.
#[derive(Debug, Default)]
pub struct ExecutorOptions {
    /// Name of its thread; the kernel shows the first 15 bytes.
    pub name: String,
    /// The CPU it is pinned to.
    pub cpu: Option<usize>,
    /// Beats every 10 ms on the executor.
    pub heartbeat: Option<Pulse>,
}

/// Starts an executor on a thread of its own and runs `body` on it to its end.
///
/// # Errors
/// When the thread or its rings cannot be made, with the remedy.
pub fn run_pinned<T, F>(
    options: ExecutorOptions,
    body: impl FnOnce(GlommioRuntime) -> F + Send + 'static,
) -> io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let ExecutorOptions { name, cpu, heartbeat } = options;
    let (started, start) = std::sync::mpsc::channel::<io::Result<()>>();
    let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
        let placement = cpu.map_or(Placement::Unbound, Placement::Fixed);
        let builder = LocalExecutorBuilder::new(placement)
            .name(&name)
            .io_memory(IO_MEMORY_BYTES)
            .ring_depth(RING_DEPTH);
        let executor = match builder.make() {
            Ok(executor) => executor,
            Err(error) => {
                let remedy = format!(
                    "{name}: {error}; io_uring needs at least 512 KiB of lockable memory per shard (RLIMIT_MEMLOCK: set \
                     LimitMEMLOCK= or `ulimit -l`) and kernel.io_uring_disabled=0"
                );
                let _ = started.send(Err(io::Error::other(remedy)));
                return None;
            }
        };
        let _ = started.send(Ok(()));
        Some(executor.run(async move {
            if let Some(pulse) = heartbeat {
                glommio::spawn_local(async move {
                    loop {
                        pulse.beat();
                        glommio::timer::sleep(HEARTBEAT).await;
                    }
                })
                .detach();
            }
            body(GlommioRuntime { _private: () }).await
        }))
    })?;
    start.recv().map_err(|_| io::Error::other("the executor's thread ended at once"))??;
    let waiter = std::thread::Builder::new().name("join".to_owned());
    waiter.spawn(move || match thread.join() {
        Ok(result) => result.expect("an executor that started returns its body's result"),
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Tasks of the current executor.
#[derive(Clone, Debug)]
pub struct GlommioRuntime {
    _private: (),
}

/// A running task. Dropping it does not cancel it.
pub struct GlommioTask(Pin<Box<dyn Future<Output = ()>>>);

impl Future for GlommioTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
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
        let handle = glommio::spawn_local(future).detach();
        GlommioTask(Box::pin(async move {
            let _ = handle.await;
        }))
    }

    async fn sleep(&self, span: Nanos) {
        glommio::timer::sleep(Duration::from_nanos(span.0)).await;
    }

    async fn turn(&self) {
        // A plain yield keeps the queue runnable, and glommio looks at its rings only when no task is: waiting for a timer
        // that is due at once makes it look.
        glommio::timer::sleep(Duration::ZERO).await;
    }

    fn watch(&self, fd: RawFd) -> GlommioWatch {
        GlommioWatch { fd, armed: None }
    }
}
