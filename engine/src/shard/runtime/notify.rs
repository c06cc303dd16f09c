//! A wake-up between tasks of one shard.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A flag that one task waits for. A notification before the wait is not lost; several before it are one.
#[derive(Debug, Default)]
pub struct Notify {
    set: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Notify {
    /// Wakes the waiter, now or when it waits.
    pub fn notify(&self) {
        self.set.set(true);
        // Released before the wake: who is woken may come back here at once.
        let waiter = self.waiter.borrow_mut().take();
        if let Some(waker) = waiter {
            waker.wake();
        }
    }

    /// Returns once notified, and takes the notification.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.set.take() {
                return Poll::Ready(());
            }
            *self.waiter.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn a_notification_before_the_wait_counts_once() {
        let notify = Notify::default();
        notify.notify();
        notify.notify();
        block_on(notify.wait());
        assert_eq!(block_on(poll_once(notify.wait())), None);
        notify.notify();
        assert_eq!(block_on(poll_once(notify.wait())), Some(()));
    }
}
