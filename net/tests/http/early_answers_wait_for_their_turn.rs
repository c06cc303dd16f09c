//! The pipeline releases answers in the order of requests, whatever order they are made in.

use net::http::{Pipeline, RELEASED_BYTES_MAX, Released, ReplyMode};
use proptest::prelude::*;

const LAST: ReplyMode = ReplyMode { keep_alive: false, head_only: false, http10: false };

proptest! {
    #[test]
    fn any_order_of_answers_gives_the_order_of_requests(
        keys in proptest::collection::vec(any::<u32>(), 1..40),
        depth in 1_usize..40,
    ) {
        let mut pipeline = Pipeline::new(depth);
        let mut out = Vec::new();
        let mut expected = Vec::new();
        let mut paused = false;
        for batch in keys.chunks(depth) {
            let mut tickets: Vec<_> = batch
                .iter()
                .map(|key| {
                    expected.extend_from_slice(format!("<{key}>").as_bytes());
                    (*key, pipeline.reserve(ReplyMode::default()).expect("the batch fits"))
                })
                .collect();
            prop_assert_eq!(pipeline.is_full(), batch.len() == depth);
            if pipeline.is_full() {
                paused = true;
                prop_assert_eq!(pipeline.reserve(ReplyMode::default()), None);
            }
            tickets.sort_by_key(|(key, _)| *key);
            let mut answers = 0;
            for (key, ticket) in tickets {
                let released = pipeline.complete(ticket, &mut out, |out, _| {
                    out.extend_from_slice(format!("<{key}>").as_bytes());
                });
                answers += released.answers;
                if released.room {
                    prop_assert!(paused);
                    paused = false;
                }
            }
            prop_assert_eq!(answers, batch.len());
        }
        prop_assert_eq!(out, expected);
        prop_assert!(!paused, "a full pipeline reports when it has room again");
    }
}

#[test]
fn a_ticket_answers_once() {
    let mut pipeline = Pipeline::new(4);
    let mut out = Vec::new();
    let first = pipeline.reserve(ReplyMode::default()).unwrap();
    let second = pipeline.reserve(ReplyMode::default()).unwrap();
    for _ in 0..2 {
        let released = pipeline.complete(second, &mut out, |out, _| out.push(b'2'));
        assert_eq!(released, Released::default());
    }
    let released = pipeline.complete(first, &mut out, |out, _| out.push(b'1'));
    assert_eq!(released.answers, 2);
    for late in [first, second] {
        assert_eq!(pipeline.complete(late, &mut out, |out, _| out.push(b'!')), Released::default());
    }
    assert_eq!(out, b"12");
}

/// Large answers whose turn it is wait in the pipeline while much waits to be sent, so that together they are never more than a
/// connection may have queued.
#[test]
fn large_answers_are_released_one_after_another() {
    let (mut pipeline, mut out, mut sent) = (Pipeline::new(8), Vec::new(), Vec::new());
    let tickets: Vec<_> = (0..5).map(|_| pipeline.reserve(ReplyMode::default()).unwrap()).collect();
    let mut answers = 0;
    for (number, ticket) in (1_u8..).zip(tickets) {
        let large = vec![number; 500 << 10];
        answers += pipeline.complete(ticket, &mut out, |out, _| out.extend_from_slice(&large)).answers;
        assert!(out.len() < RELEASED_BYTES_MAX + (500 << 10), "{}", out.len());
    }
    assert_eq!((answers, pipeline.is_held()), (1, true));
    while pipeline.is_held() {
        sent.append(&mut out);
        answers += pipeline.release(&mut out).answers;
        assert!(out.len() < RELEASED_BYTES_MAX + (500 << 10), "{}", out.len());
    }
    sent.append(&mut out);
    assert_eq!(answers, 5);
    assert!(sent.chunks(500 << 10).zip(1_u8..).all(|(part, number)| part.iter().all(|byte| *byte == number)));
    assert_eq!(sent.len(), 5 * (500 << 10));
}

#[test]
fn tickets_do_not_survive_a_reset() {
    let mut pipeline = Pipeline::new(4);
    let mut out = Vec::new();
    let old = pipeline.reserve(ReplyMode::default()).unwrap();
    pipeline.reset();
    let new = pipeline.reserve(ReplyMode::default()).unwrap();
    assert_ne!(old, new);
    assert_eq!(pipeline.complete(old, &mut out, |out, _| out.push(b'!')), Released::default());
    assert_eq!(pipeline.complete(new, &mut out, |out, _| out.push(b'1')).answers, 1);
    assert_eq!(out, b"1");
}

#[test]
fn the_last_request_ends_the_connection_after_the_answers_before_it() {
    let mut pipeline = Pipeline::new(4);
    let mut out = Vec::new();
    let first = pipeline.reserve(ReplyMode::default()).unwrap();
    let last = pipeline.reserve(LAST).unwrap();
    assert!(pipeline.is_ending());
    assert_eq!(pipeline.reserve(ReplyMode::default()), None);
    assert!(!pipeline.complete(last, &mut out, |out, _| out.push(b'2')).close);
    let released = pipeline.complete(first, &mut out, |out, _| out.push(b'1'));
    assert!(released.close);
    assert_eq!(out, b"12");
}
