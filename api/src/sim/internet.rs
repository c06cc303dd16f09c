//! What lies between the shards' connections and the exchange: time, and everything that can happen to bytes on their way.
//!
//! A connection of a shard's wire is joined with one of the exchange's; what one end sends reaches the other later, in its order.
//! A process that ends leaves its bytes on the way: they still arrive.
//!
//! **Runs on**: the simulator's thread, within the exchange's task. **Owns**: what is on its way.
//! **Invariants**: bytes of one connection are neither changed nor swapped, and none is missing between two that arrive: a
//! connection that loses some is silent from then on, or breaks. That is what TCP does.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use engine::seam::Nanos;
use exchange::paper_exchange::FaceKind;
use net::wire::memory::{MemoryNetwork, PeerId};
use storage::sim_disk::SimRandom;

use super::faults::Fault;
use super::seams::Line;
use super::world::Life;

/// A way takes at least this, in nanoseconds.
const WAY_NS_MIN: u64 = 300_000;
/// Longest way in fair weather, in nanoseconds: 10 ms.
const WAY_NS_MAX: u64 = 10_000_000;
/// The server's address, as the exchange sees it.
pub(super) const HERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)), 40_000);

/// How bad it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// Longest way instead of the usual one, in nanoseconds, and until when.
    pub(super) slow: Option<(u64, Nanos)>,
    /// So many of the next pieces towards the exchange are lost, with their connection.
    pub(super) requests_lost: u32,
    /// So many of the next pieces from the exchange are lost, with their connection.
    pub(super) answers_lost: u32,
    /// Nothing has been slow for that yet.
    pub(super) slow_unfelt: bool,
    /// No connection is made before.
    pub(super) cut_until: Nanos,
    /// No connection was cut or refused for that yet.
    pub(super) cut_unfelt: bool,
}

struct Link {
    life: u32,
    /// Whose protocol is spoken, once something was said.
    face: Option<FaceKind>,
    near: Option<(Line, PeerId)>,
    far: Option<PeerId>,
    /// When the newest of each direction arrives.
    out_ns: u64,
    back_ns: u64,
    /// Nothing passes any more, and nobody is told.
    silent: bool,
}

enum Due {
    Connect,
    Out(Vec<u8>),
    Back(Vec<u8>),
    /// The end of what the shard sent.
    OutEnds,
    /// The end of what the exchange sent.
    BackEnds,
}

/// See the module's head.
pub(super) struct Internet {
    random: SimRandom,
    /// Whether a connection may fall silent without its end. A stream's then tells nothing, which nobody can know for minutes.
    may_fall_silent: bool,
    pub(super) weather: Weather,
    links: BTreeMap<u64, Link>,
    due: BTreeMap<(u64, u64), (u64, Due)>,
    next: u64,
    /// Faults that have just struck, and whose connection.
    pub(super) struck: Vec<(Fault, Option<FaceKind>)>,
}

impl Internet {
    pub(super) fn new(random: SimRandom, may_fall_silent: bool) -> Self {
        Self {
            random,
            may_fall_silent,
            weather: Weather::default(),
            links: BTreeMap::new(),
            due: BTreeMap::new(),
            next: 0,
            struck: Vec::new(),
        }
    }

    /// When [`Internet::step`] has something to do even if nobody sends anything.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Every connection breaks, here and there.
    pub(super) fn cut(&mut self, far: &MemoryNetwork) {
        let all: Vec<u64> = self.links.keys().copied().collect();
        if !all.is_empty() {
            self.feel_cut();
        }
        for link in all {
            self.break_off(link, far);
        }
    }

    fn feel_cut(&mut self) {
        if std::mem::take(&mut self.weather.cut_unfelt) {
            self.struck.push((Fault::ExchangeCut, None));
        }
    }

    /// Takes up what was sent, and hands over what has arrived; whether anything moved.
    pub(super) fn step(&mut self, now: Nanos, life: Option<&Life>, far: &MemoryNetwork) -> bool {
        if self.weather.slow.is_some_and(|(_, until)| now >= until) {
            self.weather.slow = None;
        }
        let mut moved = self.take_dialled(now, life);
        let all: Vec<u64> = self.links.keys().copied().collect();
        for link in all {
            moved |= self.take_near(now, link, life);
            moved |= self.take_far(now, link, far);
        }
        while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= now.0) {
            moved = true;
            let (link, due) = first.remove();
            self.arrive(link, due, far);
        }
        self.links.retain(|_, link| {
            let over = link.near.is_none() && link.far.is_none();
            !over
        });
        moved
    }

    fn way(&mut self) -> u64 {
        let most = self.weather.slow.map_or(WAY_NS_MAX, |(most, _)| most);
        WAY_NS_MIN + self.random.below(most)
    }

    fn at(&mut self, at: u64, link: u64, due: Due) {
        if self.weather.slow.is_some() && std::mem::take(&mut self.weather.slow_unfelt) {
            self.struck.push((Fault::ExchangeSlow, None));
        }
        self.next += 1;
        self.due.insert((at, self.next), (link, due));
    }

    fn take_dialled(&mut self, now: Nanos, life: Option<&Life>) -> bool {
        let mut moved = false;
        for line in life.into_iter().flat_map(|life| life.lines.iter()) {
            while let Some(peer) = line.dialled() {
                moved = true;
                if now < self.weather.cut_until {
                    self.feel_cut();
                    // Refused, or not answered at all.
                    if self.random.one_in(2) {
                        line.reset(peer);
                    }
                    continue;
                }
                self.next += 1;
                let at = now.0 + self.way();
                let life = life.map_or(0, |life| life.number);
                let near = Some((line.clone(), peer));
                let link = Link { life, face: None, near, far: None, out_ns: at, back_ns: at, silent: false };
                let number = self.next;
                self.links.insert(number, link);
                self.at(at, number, Due::Connect);
            }
        }
        moved
    }

    fn take_near(&mut self, now: Nanos, number: u64, life: Option<&Life>) -> bool {
        let way = self.way();
        let Some(link) = self.links.get_mut(&number) else { return false };
        let Some((line, peer)) = &link.near else { return false };
        let at = link.out_ns.max(now.0 + way);
        if life.is_none_or(|life| life.number != link.life) {
            // The process is gone, and its end of the connection with it.
            link.near = None;
            link.out_ns = at;
            self.at(at, number, Due::OutEnds);
            return true;
        }
        let bytes = line.read(*peer);
        let closed = line.network.is_closed(*peer);
        let sent = !bytes.is_empty();
        if sent {
            link.out_ns = at;
            link.face.get_or_insert(face_of(&bytes));
        }
        if closed {
            line.forget(*peer);
            link.near = None;
        }
        let silent = link.silent;
        if sent && !silent {
            self.at(at, number, Due::Out(bytes));
        }
        if closed {
            self.at(at, number, Due::OutEnds);
        }
        sent || closed
    }

    fn take_far(&mut self, now: Nanos, number: u64, far: &MemoryNetwork) -> bool {
        let way = self.way();
        let Some(link) = self.links.get_mut(&number) else { return false };
        let Some(peer) = link.far else { return false };
        let bytes = far.read(peer);
        let closed = far.is_closed(peer);
        let at = link.back_ns.max(now.0 + way);
        let sent = !bytes.is_empty();
        if sent {
            link.back_ns = at;
        }
        if closed {
            far.forget(peer);
            link.far = None;
        }
        let silent = link.silent;
        if sent && !silent {
            self.at(at, number, Due::Back(bytes));
        }
        if closed && !silent {
            self.at(at, number, Due::BackEnds);
        }
        sent || closed
    }

    fn arrive(&mut self, number: u64, due: Due, far: &MemoryNetwork) {
        let Some(link) = self.links.get_mut(&number) else { return };
        match due {
            Due::Connect => {
                if let Some((line, peer)) = &link.near {
                    line.take(*peer);
                    link.far = Some(far.connect(HERE));
                }
            }
            Due::Out(_) | Due::Back(_) if link.silent => {}
            Due::Out(bytes) => {
                if take(&mut self.weather.requests_lost) {
                    self.struck.push((Fault::RequestLost, link.face));
                    self.lose(number, far);
                } else if let Some(peer) = link.far {
                    far.write(peer, &bytes);
                }
            }
            Due::Back(bytes) => {
                if link.near.is_some() && take(&mut self.weather.answers_lost) {
                    self.struck.push((Fault::ReplyLost, link.face));
                    self.lose(number, far);
                } else if let Some((line, peer)) = &link.near {
                    line.write(*peer, &bytes);
                }
            }
            Due::OutEnds => {
                if let Some(peer) = link.far.take() {
                    far.reset(peer);
                    far.forget(peer);
                }
            }
            Due::BackEnds => {
                if let Some((line, peer)) = &link.near {
                    line.end(*peer);
                }
            }
        }
    }

    /// What was on its way is lost: the connection breaks, or, where it may, is silent until somebody gives it up.
    fn lose(&mut self, number: u64, far: &MemoryNetwork) {
        let breaks = self.random.one_in(2);
        if breaks || !self.may_fall_silent {
            self.break_off(number, far);
        } else if let Some(link) = self.links.get_mut(&number) {
            link.silent = true;
        }
    }

    fn break_off(&mut self, number: u64, far: &MemoryNetwork) {
        let Some(link) = self.links.remove(&number) else { return };
        if let Some((line, peer)) = link.near {
            line.reset(peer);
        }
        if let Some(peer) = link.far {
            far.reset(peer);
        }
    }
}

/// Whose protocol a connection begins with: its first path says so.
fn face_of(bytes: &[u8]) -> FaceKind {
    let path = bytes.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    if path.starts_with(b"/v5/") { FaceKind::Bybit } else { FaceKind::Binance }
}

fn take(count: &mut u32) -> bool {
    let left = *count;
    *count = left.saturating_sub(1);
    left > 0
}
