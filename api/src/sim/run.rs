//! One run of one seed, from nothing to its outcome.
//!
//! **Runs on**: the caller's thread, alone. **Invariants**: the outcome depends on the seed and the overrides only.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use engine::seam::Nanos;
use storage::history::sim_database::Felt;

use super::bare::BareTime;
use super::director::Director;
use super::disk::{FaultyDisk, SYNC_LATE_MAX};
use super::exchange::{self, Exchange};
use super::executor::{Executor, Owner, Stopped};
use super::faults::{Coverage, Fault, Strikes};
use super::history;
use super::judge::Judge;
use super::judged::Judged;
use super::plan::{Overrides, Plan};
use super::server;
use super::unavailable::Unavailable;
use super::venue;
use super::world::{SHARDS_MAX, Stage, World};

/// Virtual time after the load within which a run must have ended.
const AFTER_LOAD: Nanos = Nanos::from_millis(2_400_000);

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was violated, if anything.
    pub violation: Option<String>,
    /// The trace, when it was asked for.
    pub trace: Vec<String>,
    /// A digest of everything that happened: the same for every repetition.
    pub digest: u64,
    /// Virtual time, in nanoseconds.
    pub virtual_ns: u64,
    /// Answers that were held against the model.
    pub answers: u64,
    /// Decisions that were compared with the model.
    pub decisions: u64,
    /// Lives of the server.
    pub lives: u64,
    /// Orders that the exchanges were given.
    pub exchange_orders: u64,
    /// Position-time without a live stop, as the server sees it.
    pub bare: BareTime,
    /// The same as the exchange sees it.
    pub bare_there: BareTime,
    /// What else was held against the product.
    pub judged: Judged,
    /// Which faults struck in which situations.
    pub coverage: Coverage,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, overrides: &Overrides, tracing: bool) -> Outcome {
    let plan = Plan::draw(seed, overrides);
    let executor = Executor::new(seed, plan.poll_ns_max);
    let judge = Rc::new(RefCell::new(Judge::new(plan.rules.clone(), tracing)));
    judge.borrow_mut().note(|| format!("seed {seed} {plan:?}"));
    let load = plan.load;
    let world = Rc::new(World {
        disk: FaultyDisk::new(seed, &executor, plan.disk_ns_max),
        venue: Rc::new(venue::Controls::new(!seed)),
        exchange: (!plan.homes.is_empty()).then(|| Rc::new(Exchange::new(&plan))),
        database: history::draw(&mut plan.random(555)),
        executor: Rc::clone(&executor),
        judge: Rc::clone(&judge),
        plan,
        strikes: Strikes::default(),
        stage: Cell::new(Stage::Down),
        life: RefCell::new(None),
        lives: Cell::new(0),
        skews: (0..SHARDS_MAX).map(|_| Rc::default()).collect(),
        skewed: RefCell::default(),
        found: RefCell::default(),
        start_failed: RefCell::new(None),
        load_over: Cell::new(false),
        clients_left: Cell::new(0),
        disturbed: RefCell::default(),
        paper_disturbed: Cell::default(),
        disturbed_until: Cell::new(Nanos(0)),
        compared: Cell::new(0),
        judged: Cell::default(),
        up_since: Cell::new(Nanos(0)),
        ended_at: Cell::new(None),
        bare: Cell::default(),
        resets: Cell::new(0),
        stalled_readers: Cell::new(0),
        resends: Cell::new(0),
        slow_until: Cell::new(Nanos(0)),
        slow_unfelt: Cell::new(false),
        database_unfelt: Cell::new(false),
        sources: RefCell::default(),
        accepted: RefCell::default(),
        unavailable: Unavailable::default(),
        signal_keys: RefCell::default(),
        homes: RefCell::default(),
        load_done: Cell::new(0),
        settled: Cell::new(false),
        finished: Cell::new(false),
    });
    let told = Rc::downgrade(&world);
    let on_strike = Rc::new(move |fault: Fault| {
        if let Some(world) = told.upgrade() {
            world.strike(fault);
            if fault == Fault::SyncLate {
                world.disturb(SYNC_LATE_MAX);
            }
        }
    });
    *world.disk.controls.on_strike.borrow_mut() = Some(on_strike.clone());
    *world.venue.on_strike.borrow_mut() = Some(on_strike);
    if let Some(database) = &world.database {
        let told = Rc::downgrade(&world);
        database.set_told(Rc::new(move |felt| {
            if let Some(world) = told.upgrade() {
                match felt {
                    Felt::Down if world.database_unfelt.replace(false) => world.strike(Fault::DatabaseDown),
                    Felt::Down => {}
                    Felt::Lost => world.strike(Fault::DatabaseAnswer),
                }
            }
        }));
    }
    if world.exchange.is_some() {
        executor.spawn(Owner::World, exchange::serve(Rc::clone(&world)));
    }
    executor.spawn(Owner::World, Director::new(&world).direct());
    let end = Rc::clone(&world);
    let stopped =
        executor.run(executor.now().plus(load).plus(AFTER_LOAD), || end.finished.get() || end.is_over());
    match stopped {
        Stopped::Done => {}
        Stopped::TimeOver => judge.borrow_mut().violate("the run did not end in time".to_owned()),
        Stopped::Dead => judge.borrow_mut().violate("nothing can happen any more".to_owned()),
        Stopped::Livelock => judge.borrow_mut().violate("tasks wake each other for ever".to_owned()),
    }
    server::end(&world);
    executor.end();
    if !world.is_over()
        && let Err(what) = history::compare(&world)
    {
        judge.borrow_mut().violate(what);
    }
    let mut judge = judge.borrow_mut();
    let coverage = world.strikes.0.borrow().clone();
    world.count(|judged| judged.spoilt_states = judge.spoilt);
    if let Some(exchange) = &world.exchange {
        world.count(|judged| exchange.count_limits(judged));
    }
    let exchange_orders = world.exchange.as_ref().map_or(0, |exchange| exchange.finish(&mut judge));
    Outcome {
        seed,
        violation: judge.violation().map(str::to_owned),
        digest: judge.digest(),
        virtual_ns: executor.now().0,
        answers: world.compared.get(),
        decisions: judge.decided,
        lives: u64::from(world.lives.get()),
        exchange_orders,
        bare: world.bare.get(),
        bare_there: world
            .exchange
            .as_ref()
            .map_or_else(BareTime::default, |exchange| exchange.bare.borrow().time()),
        judged: world.judged.get(),
        coverage,
        trace: std::mem::take(&mut judge.lines),
    }
}
