//! T: the exchange's clock, as it is measured while requests are refused for their time.

use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;

use super::*;

/// Each refusal for its time has the clock measured anew, and many come while one measurement is under way.
#[test]
fn case_t1_an_answer_about_the_time_counts_from_its_own_question() {
    fn on<P: Spoken>(refused: &str, code: i64) {
        let slow = Weather { delay_max: 1_500_000, ..CALM };
        let mut world = World::<P>::new(221, 6, CALM);
        world.until("ready", 60 * SECOND, World::is_ready);
        world.weather(slow);
        rule(&mut world, refused, When::Every(2), Fault::Code { code, executed: false });
        let before = world.calls.values().sum::<u32>();
        for turn in 0..1_200 {
            if turn % 60 == 0 {
                // Everything is asked for anew.
                world.cut_sockets();
            }
            world.step(SECOND / 20);
            let clock = world.connector().pacer().clock();
            let unsure = clock.view().uncertain_micros.expect("it was measured");
            // The exchange tells its time in whole milliseconds, and the one here runs with ours.
            let off = clock.venue_micros(world.now).abs_diff(world.now.0);
            assert!(off <= unsure + 2_000, "off by {off}, said to be sure within {unsure}");
        }
        assert!(world.calls.values().sum::<u32>() - before > 100, "{:?}", world.calls);
        world.exchange.faults.clear();
        world.weather(CALM);
        world.step(120 * SECOND);
        world.signal(LONG, BTC);
        world.until("open", 30 * SECOND, World::is_open);
        closed(&mut world);
    }
    on::<Binance>("GET /fapi/v3/*", -1021);
    on::<Bybit>("GET /v5/position/*", 10_002);
}
