//! The executor under a checker that decides which thread goes on at every lock, atomic and wait.
//!
//! The source files of the executor are compiled a second time on the checker's [`sync`], an event loop of its own and
//! commands without HTTP ([`model_command`]). A schedule under which an answer is lost, two threads lead, or all threads
//! wait, is printed so that it can be replayed. Each trial tries `OUTSIDE_MODEL_RUNS` schedules, many in `make model`.

#![expect(clippy::duplicate_mod, reason = "these are the files under test")]

mod event_loop;
mod ledger;
mod model_command;
mod sync;
mod trial;

#[path = "busy.rs"]
mod busy;
#[path = "command.rs"]
mod command;
#[path = "job.rs"]
mod job;
#[path = "leader.rs"]
mod leader;
#[path = "leader_lease.rs"]
mod leader_lease;
#[path = "lock.rs"]
mod lock;
#[path = "overdue.rs"]
#[expect(dead_code, reason = "these are the files under test; the server says what was given up")]
mod overdue;
#[path = "pool.rs"]
mod pool;
#[path = "pool_queue.rs"]
mod pool_queue;
#[path = "reactor.rs"]
#[expect(dead_code, reason = "these are the files under test; no WebSockets are tried")]
mod reactor;
#[path = "reply_slot.rs"]
#[expect(dead_code, reason = "these are the files under test; connections use more of them")]
mod reply_slot;
#[path = "role.rs"]
mod role;
#[path = "sentinel.rs"]
mod sentinel;
#[path = "task_queue.rs"]
mod task_queue;
#[path = "thread_life.rs"]
#[expect(dead_code, reason = "these are the files under test; no WebSockets are tried")]
mod thread_life;
#[path = "threads.rs"]
mod threads;
#[path = "turns.rs"]
mod turns;
#[path = "watch.rs"]
mod watch;

use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

use Place::{Loop, Pool};
use Temper::{After, Quick, Slow, Stuck};
use job::Job;
use leader_lease::{Epoch, LeaderLease, LeasedCall};
use ledger::{Place, Temper};
use lock::lock;
use reactor::Executor;
use reply_slot::ReplySlot;
use sync::Mutex;
use trial::{FOR_EVER, PATIENCE, Trial};

/// Tries a trial under many schedules: half of them random, half with few but nasty switches.
fn check(trial: impl Fn() + Clone + Send + Sync + 'static) {
    let runs = std::env::var("OUTSIDE_MODEL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(300);
    let (again, mut config) = (trial.clone(), Config::new());
    (config.stack_size, config.max_steps) = (1 << 18, MaxSteps::FailAfter(200_000));
    Runner::new(RandomScheduler::new(runs / 2), config.clone()).run(again);
    Runner::new(PctScheduler::new(4, runs / 2), config).run(trial);
}

/// Only the leader of an epoch is between two calls at any moment, and a leader loses its epoch once.
#[test]
fn one_leader_at_a_time() {
    check(|| {
        let (lease, turf) = (Arc::new(LeaderLease::new()), Arc::new(Mutex::new(false)));
        let lead = |epoch: Epoch| {
            let (lease, turf) = (Arc::clone(&lease), Arc::clone(&turf));
            shuttle::thread::spawn(move || {
                for _ in 0..3 {
                    assert!(!std::mem::replace(&mut *lock(&turf), true), "two leaders");
                    shuttle::thread::yield_now();
                    *lock(&turf) = false;
                    let call = lease.begin(epoch).expect("nothing takes an epoch over between two calls");
                    shuttle::thread::yield_now();
                    if !lease.end(call) {
                        assert!(lease.begin(epoch).is_none(), "who has lost leads no more");
                        return 1;
                    }
                }
                0
            })
        };
        let mut leaders = vec![lead(Epoch::FIRST)];
        for _ in 0..8 {
            let call = LeasedCall::in_lease(lease.snapshot());
            shuttle::thread::yield_now();
            if let Some(epoch) = call.and_then(|call| lease.take_over(call)) {
                leaders.push(lead(epoch));
            }
        }
        let taken = leaders.len() - 1;
        let lost = leaders.into_iter().map(|leader| leader.join().expect("it has not failed"));
        assert_eq!(lost.sum::<usize>(), taken, "each loss is somebody's gain");
    });
}

/// Jobs of several connections, one after another, some slow enough to be taken over, and answers from elsewhere.
#[test]
fn every_job_runs_once_and_every_answer_arrives_once() {
    check(|| {
        let mut trial = Trial::start(2);
        trial.connect(&[(Loop, &[Quick]), (Loop, &[Slow(2), Quick])]);
        trial.connect(&[(Loop, &[Slow(1), Quick, Slow(3)]), (Loop, &[Quick])]);
        trial.connect_elsewhere();
        trial.connect(&[(Loop, &[Quick]), (Loop, &[Slow(4)]), (Loop, &[Quick])]);
        assert_eq!(trial.finish(), 0);
    });
}

/// Calls that end only when all other clients have been answered: finished answers do not wait for unfinished ones, and
/// the sentinel does not sleep while it is needed.
#[test]
fn a_call_that_never_ends_holds_no_other_up() {
    check(|| {
        let mut trial = Trial::start(2);
        trial.connect(&[(Loop, &[Quick]), (Loop, &[Quick])]);
        trial.connect(&[(Loop, &[After(5)])]);
        trial.connect(&[(Loop, &[Quick]), (Loop, &[After(5)])]);
        trial.connect(&[(Loop, &[Quick]), (Loop, &[Quick])]);
        assert_eq!(trial.finish(), 0);
    });
}

/// A handler that lets no other thread into its language: the loop goes on, and other handlers are called afterwards.
#[test]
fn a_handler_that_holds_its_language_does_not_hold_the_loop() {
    check(|| {
        let mut trial = Trial::start_with_lock(2);
        trial.connect(&[(Loop, &[Stuck])]);
        trial.wait_for_stuck(1);
        trial.connect(&[(Loop, &[Quick]), (Pool, &[Quick])]);
        trial.connect(&[(Loop, &[Quick, Quick])]);
        trial.connect_elsewhere();
        trial.wait_for(1);
        trial.connect_elsewhere();
        trial.wait_for(2);
        trial.release();
        assert_eq!(trial.finish(), 0);
    });
    check(|| {
        let mut trial = Trial::start_with_lock(2);
        trial.connect(&[(Loop, &[Slow(2)]), (Pool, &[Slow(1)]), (Loop, &[Quick])]);
        trial.connect(&[(Loop, &[Quick, Slow(1)]), (Loop, &[Slow(3)])]);
        trial.executor.stop();
        assert_eq!(trial.executor.join(FOR_EVER), 0);
    });
}

/// Answers before a late one of the same job do not wait for it, and later ones arrive.
#[test]
fn a_late_call_of_a_job_keeps_back_nothing_before_it() {
    check(|| {
        let mut trial = Trial::start(2);
        trial.connect(&[(Loop, &[Quick, Quick, After(2), Quick, After(4)]), (Loop, &[Quick])]);
        trial.connect(&[(Pool, &[Quick, After(1), Quick])]);
        assert_eq!(trial.finish(), 0);
    });
}

/// A client that gives a job up gets no answer of it, and a call that has not begun by then never begins.
#[test]
fn an_abandoned_job_does_not_begin() {
    check(|| {
        let mut trial = Trial::start(2);
        let client = trial.connect_impatient(Loop, &[Stuck, Quick]);
        trial.wait_for_stuck(1);
        assert!(trial.give_up(client), "it was running");
        trial.release();
        trial.connect(&[(Loop, &[Quick])]);
        assert_eq!(trial.finish(), 0);
    });
    check(|| {
        let mut trial = Trial::start(2);
        let client = trial.connect_impatient(Loop, &[Quick, Slow(1), Quick]);
        trial.connect(&[(Loop, &[Quick])]);
        trial.give_up(client);
        assert_eq!(trial.finish(), 0);
    });
}

/// The same after a while without calls, when the sentinel sleeps or is about to.
#[test]
fn the_sentinel_wakes_for_a_call() {
    check(|| {
        let mut trial = Trial::start(2);
        trial.connect(&[(Loop, &[Quick])]);
        trial.wait_for(1);
        trial.connect(&[(Loop, &[After(3)])]);
        trial.connect(&[(Loop, &[Quick])]);
        trial.wait_for(2);
        trial.connect(&[(Loop, &[Quick])]);
        assert_eq!(trial.finish(), 0);
    });
}

/// Two workers, one of them late on the loop's thread, and then one with four places to wait and more jobs than that.
#[test]
fn the_pool_is_bounded_and_loses_nothing() {
    check(|| {
        let mut trial = Trial::start(2);
        trial.connect(&[(Loop, &[After(2)])]);
        for _ in 0..3 {
            trial.connect(&[(Pool, &[Slow(1)]), (Loop, &[Quick]), (Pool, &[Quick])]);
        }
        assert_eq!(trial.finish(), 0);
    });
    check(|| {
        let mut trial = Trial::start(1);
        for _ in 0..7 {
            trial.connect(&[(Pool, &[Stuck])]);
        }
        trial.wait_for(2);
        trial.release();
        assert_eq!(trial.finish(), 2, "one runs, four wait, however late the worker is");
    });
}

/// An epoch and jobs of the pool come at one moment, while some threads stand by but not enough.
#[test]
fn each_duty_finds_a_thread() {
    check(|| {
        let mut trial = Trial::start(3);
        trial.connect(&[(Loop, &[Slow(1)])]);
        trial.connect(&[(Pool, &[Quick])]);
        trial.wait_for(2);
        trial.connect(&[(Loop, &[Stuck])]);
        trial.connect(&[(Pool, &[Stuck])]);
        trial.connect(&[(Pool, &[Stuck])]);
        trial.connect(&[(Loop, &[Quick])]);
        trial.wait_for_stuck(3);
        trial.wait_for(3);
        trial.release();
        assert_eq!(trial.finish(), 0);
    });
}

/// Without new threads all jobs are done, later.
#[test]
fn a_lack_of_threads_loses_nothing() {
    check(|| {
        let mut trial = Trial::start(2);
        sync::run_short_of_threads();
        trial.connect(&[(Loop, &[Quick]), (Loop, &[Slow(2)]), (Loop, &[Quick])]);
        trial.connect(&[(Loop, &[Slow(3), Quick]), (Loop, &[Quick])]);
        assert_eq!(trial.finish(), 0);
    });
}

/// A route that hangs before its calls were measured takes as many threads as the pool has, or one more if two threads
/// call it at one moment, not one per request.
#[test]
fn a_route_that_hangs_is_bounded_too() {
    check(|| {
        let mut trial = Trial::start(2);
        trial.connect_to_one_route(4);
        trial.wait_for_stuck(2);
        trial.connect(&[(Loop, &[Quick])]);
        trial.wait_for(1);
        trial.wait_for_pushes(5);
        assert!(trial.stuck() <= 3);
        trial.release();
        assert_eq!(trial.finish(), 0);
    });
}

/// A burst on a route with one late call: no job is turned away before the route is known to wait, and jobs that the
/// pool has not begun go back to the loop when the route turns out to be quick.
#[test]
fn a_burst_is_not_turned_away_for_one_late_call() {
    check(|| {
        let mut trial = Trial::start(1);
        trial.connect_to_one_route(8);
        trial.wait_for_stuck(1);
        trial.wait_for_pushes(8);
        trial.release();
        assert_eq!(trial.finish(), 0);
    });
}

/// A handler that does not end takes no worker's place for ever, late or in the pool; but not any number of them.
#[test]
fn a_call_that_is_given_up_makes_room() {
    for place in [Loop, Pool] {
        check(move || {
            let mut trial = Trial::start(1);
            let client = trial.connect_impatient(place, &[Stuck]);
            trial.wait_for_stuck(1);
            trial.wait_until_detached(1);
            trial.connect(&[(Pool, &[Quick])]);
            trial.wait_for_pushes(2);
            assert!(trial.give_up(client), "it was running");
            assert_eq!(trial.give_up_overdue(), 0, "its time is not over");
            sync::advance(PATIENCE);
            assert_eq!(trial.give_up_overdue(), 1);
            trial.wait_for(2);
            let another = trial.connect_impatient(place, &[Stuck]);
            trial.wait_for_stuck(2);
            trial.wait_until_detached(1);
            assert!(trial.give_up(another), "it was running");
            sync::advance(PATIENCE);
            assert_eq!(trial.give_up_overdue(), 1);
            trial.wait_until_detached(1);
            trial.release();
            trial.connect(&[(Pool, &[Quick])]);
            assert_eq!(trial.finish(), 0);
        });
    }
}

/// A call for a client that has left takes no worker's place; if it does not end it is given up like any other.
#[test]
fn a_call_for_a_client_that_has_left_makes_room() {
    for place in [Loop, Pool] {
        check(move || {
            let mut trial = Trial::start(1);
            let client = trial.connect_impatient(place, &[Stuck]);
            trial.wait_for_stuck(1);
            trial.wait_until_detached(1);
            assert!(trial.leave(client), "it was running");
            trial.connect(&[(Pool, &[Quick])]);
            trial.wait_for(1 + 1);
            let another = trial.connect_impatient(place, &[Slow(1)]);
            trial.leave(another);
            sync::advance(PATIENCE);
            assert!(trial.give_up_overdue() <= 2);
            trial.release();
            trial.connect(&[(Pool, &[Quick])]);
            assert_eq!(trial.finish(), 0);
        });
    }
}

/// Handlers that end just when they are given up.
#[test]
fn no_thread_is_counted_twice() {
    check(|| {
        let mut trial = Trial::start(2);
        for place in [Loop, Pool] {
            let client = trial.connect_impatient(place, &[Slow(1), Slow(1)]);
            trial.connect(&[(place, &[Quick])]);
            if trial.give_up(client) {
                sync::advance(PATIENCE);
                trial.give_up_overdue();
            }
        }
        assert_eq!(trial.finish(), 0);
    });
}

/// Jobs that wait behind a handler that does not end are turned away in time.
#[test]
fn no_job_waits_longer_than_the_limit() {
    check(|| {
        let mut trial = Trial::start(1);
        trial.connect(&[(Pool, &[Stuck])]);
        trial.wait_for_stuck(1);
        trial.connect(&[(Pool, &[Quick])]);
        trial.wait_for_pushes(2);
        sync::advance(Duration::from_secs(6));
        trial.expire();
        trial.wait_for(1);
        trial.release();
        assert_eq!(trial.finish(), 1);
    });
}

/// A streamed body cannot be turned away any more; jobs behind it can.
#[test]
fn a_stream_that_waits_does_not_keep_others_waiting() {
    check(|| {
        let mut trial = Trial::start(1);
        trial.connect(&[(Pool, &[Stuck])]);
        trial.wait_for_stuck(1);
        trial.connect_stream();
        trial.wait_for_pushes(2);
        trial.connect(&[(Pool, &[Quick])]);
        trial.wait_for_pushes(3);
        sync::advance(Duration::from_secs(6));
        trial.expire();
        trial.wait_for(1);
        trial.release();
        assert_eq!(trial.finish(), 1);
    });
}

/// Jobs that were pushed before the stop are done, even behind slow ones.
#[test]
fn stopping_leaves_no_job_undone() {
    check(|| {
        let mut trial = Trial::start(2);
        trial.connect(&[(Loop, &[Stuck])]);
        trial.connect(&[(Loop, &[Quick])]);
        trial.connect(&[(Loop, &[Slow(1)])]);
        trial.wait_for_pushes(3);
        trial.executor.stop();
        trial.wait_for_ends(2);
        trial.wait_for_threads(1);
        trial.release();
        assert_eq!(trial.executor.join(FOR_EVER), 0);
    });
}

/// A stop ends the threads that wait, lead or watch at once, and the others when their calls end.
#[test]
fn all_threads_end() {
    check(|| {
        let mut trial = Trial::start(2);
        trial.connect(&[(Loop, &[Slow(1)])]);
        trial.connect(&[(Loop, &[Stuck])]);
        trial.connect(&[(Pool, &[Stuck])]);
        trial.wait_for_stuck(2);
        trial.executor.stop();
        trial.wait_for_threads(2);
        trial.release();
        assert_eq!(trial.executor.join(FOR_EVER), 0);
    });
}

/// A stop at any moment.
#[test]
fn all_threads_end_in_any_state() {
    check(|| {
        let mut trial = Trial::start(2);
        trial.connect(&[(Loop, &[Slow(1)]), (Pool, &[Slow(1)]), (Loop, &[Slow(1)])]);
        trial.connect(&[(Loop, &[Slow(1)]), (Loop, &[Slow(2)])]);
        trial.executor.stop();
        assert_eq!(trial.executor.join(FOR_EVER), 0);
    });
}
