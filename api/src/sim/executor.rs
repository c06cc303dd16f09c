//! The deterministic executor: all tasks of all shards and of the world around them in one thread, on virtual time.
//!
//! **Runs on**: one thread. **Owns**: the tasks, the timers, the virtual clock.
//! **Invariants**: the next task is drawn from those that were woken, by the seed; time moves by a drawn amount with each
//! poll, and to the next timer when nobody is woken. The same seed gives the same run, whatever the machine.
//! A task belongs to a life of the server or to the world; ending a life drops its tasks wherever they wait, which is what a
//! crash at an await is. **Never**: reads a clock of the host.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::os::fd::RawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use engine::seam::Nanos;
use storage::sim_disk::SimRandom;

/// Whose a task is: the world outside of the server, or one life of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Clients, the fault director.
    World,
    /// A shard's tasks in one life of the server.
    Life(u32, u16),
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    number: u64,
    owner: Owner,
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Woken>,
}

/// Something that is looked at whenever nobody is woken.
struct Probe {
    holds: Box<dyn Fn() -> bool>,
    waker: Waker,
}

/// See the module's head.
pub(super) struct Executor {
    now_ns: Cell<u64>,
    random: RefCell<SimRandom>,
    tasks: RefCell<Vec<Task>>,
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    probes: RefCell<BTreeMap<u64, Probe>>,
    descriptors: RefCell<BTreeMap<u64, (RawFd, Waker)>>,
    next_number: Cell<u64>,
    /// A shard that gets no turn until then.
    starved: Cell<Option<(u16, u64)>>,
    /// Longest time one poll takes, in nanoseconds.
    poll_ns_max: u64,
}

/// What a run was stopped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The condition holds.
    Done,
    /// The time is over.
    TimeOver,
    /// Nothing can ever happen again.
    Dead,
    /// Busy for longer than any load keeps a shard busy: tasks wake each other for ever.
    Livelock,
}

/// Virtual time without a moment in which no task is ready from which a run counts as a livelock.
const LIVELOCK_SPAN_NS: u64 = 20_000_000_000;

impl Executor {
    pub(super) fn new(seed: u64, poll_ns_max: u64) -> Rc<Self> {
        Rc::new(Self {
            // Not zero: a moment of zero means "never" in places.
            now_ns: Cell::new(1_000_000_000),
            random: RefCell::new(SimRandom::new(seed)),
            tasks: RefCell::default(),
            timers: RefCell::default(),
            probes: RefCell::default(),
            descriptors: RefCell::default(),
            next_number: Cell::new(0),
            starved: Cell::new(None),
            poll_ns_max,
        })
    }

    pub(super) fn now(&self) -> Nanos {
        Nanos(self.now_ns.get())
    }

    fn number(&self) -> u64 {
        self.next_number.replace(self.next_number.get() + 1)
    }

    /// Gives a shard no turn for a while.
    pub(super) fn starve(&self, shard: u16, span: Nanos) {
        self.starved.set(Some((shard, self.now_ns.get() + span.0)));
    }

    /// Starts a task; the result says when it has ended.
    pub(super) fn spawn(&self, owner: Owner, future: impl Future<Output = ()> + 'static) -> Ended {
        let ended = Ended::default();
        let told = ended.clone();
        let future = async move {
            future.await;
            told.done.set(true);
            if let Some(waker) = told.waker.take() {
                waker.wake();
            }
        };
        let task = Task {
            number: self.number(),
            owner,
            future: Some(Box::pin(future)),
            woken: Arc::new(Woken(AtomicBool::new(true))),
        };
        self.tasks.borrow_mut().push(task);
        ended
    }

    /// Ends a life: its tasks are dropped where they wait.
    pub(super) fn kill(&self, life: u32) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        let (dead, alive) =
            tasks.into_iter().partition(|task| matches!(task.owner, Owner::Life(of, _) if of == life));
        *self.tasks.borrow_mut() = alive;
        // Outside of the borrow: what a future drops may call back.
        drop::<Vec<Task>>(dead);
    }

    /// Drops everything, so that what refers to each other is freed.
    pub(super) fn end(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        self.timers.borrow_mut().clear();
        self.probes.borrow_mut().clear();
        self.descriptors.borrow_mut().clear();
    }

    /// Returns at or after `at`.
    pub(super) fn sleep_until(self: &Rc<Self>, at: Nanos) -> Timer {
        Timer { executor: Rc::clone(self), at: at.0, key: None }
    }

    /// Returns after `span`.
    pub(super) fn sleep(self: &Rc<Self>, span: Nanos) -> Timer {
        self.sleep_until(self.now().plus(span))
    }

    /// Returns once `holds`, which is looked at whenever nobody is woken.
    pub(super) async fn until(self: &Rc<Self>, holds: impl Fn() -> bool + Clone + 'static) {
        let mut held = Registered { executor: Rc::clone(self), number: None };
        poll_fn(|cx| {
            if holds() {
                return Poll::Ready(());
            }
            let number = *held.number.get_or_insert_with(|| self.number());
            let probe = Probe { holds: Box::new(holds.clone()), waker: cx.waker().clone() };
            self.probes.borrow_mut().insert(number, probe);
            Poll::Pending
        })
        .await;
    }

    /// Returns once the descriptor is readable.
    pub(super) async fn readable(self: &Rc<Self>, fd: RawFd) {
        let mut held = Registered { executor: Rc::clone(self), number: None };
        poll_fn(|cx| {
            if crate::sys::readable(&[fd]) == [true] {
                return Poll::Ready(());
            }
            let number = *held.number.get_or_insert_with(|| self.number());
            self.descriptors.borrow_mut().insert(number, (fd, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Gives all others a turn.
    pub(super) async fn turn(&self) {
        let mut turned = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut turned, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Runs until the condition holds or the time is over.
    pub(super) fn run(&self, until: Nanos, done: impl Fn() -> bool) -> Stopped {
        let mut busy_since = self.now_ns.get();
        loop {
            if done() {
                return Stopped::Done;
            }
            if self.now_ns.get() >= until.0 {
                return Stopped::TimeOver;
            }
            if self.now_ns.get() > busy_since + LIVELOCK_SPAN_NS {
                return Stopped::Livelock;
            }
            if self.poll_one() {
                // Now and then the descriptors are looked at although others are busy, as a kernel would.
                if self.random.borrow_mut().one_in(16) {
                    self.look();
                }
                continue;
            }
            if self.look() {
                continue;
            }
            busy_since = self.now_ns.get();
            let next = self.timers.borrow().keys().next().map(|(at, _)| *at);
            let starved_until = self.starved.get().map(|(_, until)| until);
            match next.into_iter().chain(starved_until).min() {
                Some(at) => {
                    self.now_ns.set(self.now_ns.get().max(at));
                    self.wake_due();
                }
                None => return Stopped::Dead,
            }
        }
    }

    fn wake_due(&self) {
        let now = self.now_ns.get();
        if self.starved.get().is_some_and(|(_, until)| now >= until) {
            self.starved.set(None);
        }
        loop {
            let mut timers = self.timers.borrow_mut();
            match timers.first_entry() {
                Some(first) if first.key().0 <= now => {
                    let waker = first.remove();
                    drop(timers);
                    waker.wake();
                }
                _ => return,
            }
        }
    }

    /// Wakes who waits for something that has come; whether there was anybody.
    fn look(&self) -> bool {
        let mut wakers = Vec::new();
        self.probes.borrow_mut().retain(|_, probe| {
            let holds = (probe.holds)();
            if holds {
                wakers.push(probe.waker.clone());
            }
            !holds
        });
        let mut watched = self.descriptors.borrow_mut();
        if !watched.is_empty() {
            let fds: Vec<RawFd> = watched.values().map(|(fd, _)| *fd).collect();
            let mut ready = crate::sys::readable(&fds).into_iter();
            watched.retain(|_, (_, waker)| {
                let is_ready = ready.next().unwrap_or(false);
                if is_ready {
                    wakers.push(waker.clone());
                }
                !is_ready
            });
        }
        drop(watched);
        let any = !wakers.is_empty();
        wakers.into_iter().for_each(Waker::wake);
        any
    }

    /// Polls one woken task; false when there is none.
    fn poll_one(&self) -> bool {
        let starved = self.starved.get().map(|(shard, _)| shard);
        let (number, mut future, waker) = {
            let mut tasks = self.tasks.borrow_mut();
            let may = |task: &Task| {
                let held = matches!(task.owner, Owner::Life(_, shard) if Some(shard) == starved);
                !held && task.future.is_some() && task.woken.0.load(Ordering::Relaxed)
            };
            let woken = tasks.iter().filter(|task| may(task)).count();
            if woken == 0 {
                return false;
            }
            let pick = self.random.borrow_mut().below(woken as u64);
            let pick = usize::try_from(pick).expect("below a length");
            let task = tasks.iter_mut().filter(|task| may(task)).nth(pick).expect("counted just now");
            task.woken.0.store(false, Ordering::Relaxed);
            (task.number, task.future.take().expect("it may be polled"), Waker::from(Arc::clone(&task.woken)))
        };
        let ended = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.tasks.borrow_mut();
        if let Some(at) = tasks.iter().position(|task| task.number == number) {
            if ended {
                tasks.remove(at);
            } else {
                tasks[at].future = Some(future);
            }
        }
        drop(tasks);
        let spent = self.random.borrow_mut().below(self.poll_ns_max) + 200;
        self.now_ns.set(self.now_ns.get() + spent);
        self.wake_due();
        true
    }
}

/// A running task, to be waited for; dropping it does not end the task.
#[derive(Clone, Default)]
pub(super) struct Ended {
    done: Rc<Cell<bool>>,
    waker: Rc<RefCell<Option<Waker>>>,
}

impl Future for Ended {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.done.get() {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A wait for a moment. Dropping it takes the timer away, so that nobody is woken for nothing.
pub(super) struct Timer {
    executor: Rc<Executor>,
    at: u64,
    key: Option<(u64, u64)>,
}

impl Future for Timer {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.executor.now_ns.get() >= self.at {
            return Poll::Ready(());
        }
        let at = self.at;
        let number = match self.key {
            Some((_, number)) => number,
            None => self.executor.number(),
        };
        self.key = Some((at, number));
        self.executor.timers.borrow_mut().insert((at, number), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.executor.timers.borrow_mut().remove(&key);
        }
    }
}

/// A registered probe or descriptor; dropping it takes it away.
struct Registered {
    executor: Rc<Executor>,
    number: Option<u64>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.executor.probes.borrow_mut().remove(&number);
            self.executor.descriptors.borrow_mut().remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(seed: u64) -> Vec<(u32, u64)> {
        let executor = Executor::new(seed, 1_000);
        let seen = Rc::new(RefCell::new(Vec::new()));
        for number in 0..5_u32 {
            let (inner, seen) = (Rc::clone(&executor), Rc::clone(&seen));
            executor.spawn(Owner::World, async move {
                for _ in 0..3 {
                    inner.sleep(Nanos::from_micros(u64::from(number) + 1)).await;
                    inner.turn().await;
                    seen.borrow_mut().push((number, inner.now().0));
                }
            });
        }
        assert_eq!(executor.run(Nanos(u64::MAX), || false), Stopped::Dead);
        seen.take()
    }

    #[test]
    fn a_seed_gives_one_order_and_another_seed_another() {
        assert_eq!(order_of(7), order_of(7));
        assert_ne!(order_of(7), order_of(8));
        assert_eq!(order_of(7).len(), 15);
    }

    #[test]
    fn tasks_that_wake_each_other_for_ever_are_noticed() {
        let executor = Executor::new(3, 2_000);
        let inner = Rc::clone(&executor);
        executor.spawn(Owner::World, async move {
            loop {
                inner.turn().await;
            }
        });
        assert_eq!(executor.run(Nanos(u64::MAX), || false), Stopped::Livelock);
    }

    #[test]
    fn a_life_that_ends_leaves_nothing_behind() {
        let executor = Executor::new(1, 1_000);
        let (inner, dropped) = (Rc::clone(&executor), Rc::new(()));
        let held = Rc::clone(&dropped);
        executor.spawn(Owner::Life(3, 0), async move {
            inner.sleep(Nanos::from_millis(1)).await;
            drop(held);
            panic!("it was killed before");
        });
        executor.run(Nanos(1_000_500_000), || false);
        executor.kill(3);
        assert_eq!(Rc::strong_count(&dropped), 1);
        assert_eq!(executor.run(Nanos(u64::MAX), || false), Stopped::Dead);
    }

    #[test]
    fn a_starved_shard_waits_and_then_goes_on() {
        let executor = Executor::new(1, 1_000);
        let ran = Rc::new(Cell::new(Nanos(0)));
        let (inner, seen) = (Rc::clone(&executor), Rc::clone(&ran));
        executor.spawn(Owner::Life(0, 2), async move { seen.set(inner.now()) });
        executor.starve(2, Nanos::from_millis(5));
        executor.run(Nanos(u64::MAX), || ran.get() > Nanos(0));
        assert!(ran.get() >= Nanos(1_005_000_000));
    }
}
