//! Years of a certificate in a moment, and files that are whole after a crash.

use std::process::Command;

use super::schedule::{Advice, Choice, Held, History, Step, Wish, advised, schedule, unadvised};
use super::storage;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const START: u64 = 1_800_000_000;

/// A server and its authority, whose clocks jump from step to step.
struct World {
    now: u64,
    held: Option<Held>,
    advice: Option<Advice>,
    history: History,
    life: u64,
    /// The times of orders: of attempts at the staging directory, and at the authority.
    rehearsals: Vec<u64>,
    orders: Vec<u64>,
    questions: usize,
    random: u64,
}

impl World {
    fn new(life: u64) -> Self {
        let (rehearsals, orders) = (Vec::new(), Vec::new());
        let (held, advice, history) = (None, None, History::default());
        Self { now: START, held, advice, history, life, rehearsals, orders, questions: 0, random: 1 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    /// Goes on until this time. `works` says whether the authority issues at a time, `window` its advice for a
    /// certificate.
    fn go_on(&mut self, until: u64, works: impl Fn(u64) -> bool, window: impl Fn(&Held) -> Option<(u64, u64)>) {
        while self.now < until {
            let choice = Choice { authorities: 1 };
            match schedule(self.now, self.held.as_ref(), self.advice.as_ref(), &self.history, None, choice) {
                Step::Order { rehearse, .. } => {
                    let jitter = self.random(1000);
                    let begun = self.history.begun(self.now, jitter);
                    if rehearse {
                        self.rehearsals.push(self.now);
                    }
                    let is_issued = works(self.now);
                    if !rehearse || is_issued {
                        self.orders.push(self.now);
                    }
                    self.now += 5;
                    if is_issued {
                        self.history = begun.succeeded(self.now);
                        self.held = Some(Held {
                            from: self.now - HOUR.min(self.life / 3),
                            until: self.now + self.life,
                            fits: true,
                        });
                        self.advice = None;
                    } else {
                        self.history = begun.failed(self.now, None);
                    }
                }
                Step::AskAdvice => {
                    self.questions += 1;
                    let held = self.held.unwrap();
                    let chosen = self.random(1000);
                    self.advice = Some(match window(&held).filter(|_| works(self.now)) {
                        Some(window) => {
                            advised(self.now, window, 6 * HOUR, self.advice.as_ref(), |below| chosen * below / 1000)
                        }
                        None => unadvised(self.now, &held, self.advice.as_ref()),
                    });
                }
                Step::Wait(at) => {
                    assert!(at > self.now);
                    self.now = at.min(until);
                }
            }
        }
    }

    fn most_in_an_hour(times: &[u64]) -> usize {
        times
            .iter()
            .map(|start| times.iter().filter(|time| (*start..*start + HOUR).contains(time)).count())
            .max()
            .unwrap_or(0)
    }
}

#[test]
fn ten_years_of_certificates() {
    for (life, renewals) in [(90 * DAY, 61), (45 * DAY, 122), (160 * HOUR, 1095), (45, 0)] {
        let mut world = World::new(life);
        let span = if life < HOUR { HOUR } else { 3650 * DAY };
        world.go_on(START + span, |_| true, |_| None);
        let count = world.orders.len();
        match renewals {
            0 => assert!((120..=180).contains(&count), "{count} orders of an hour"),
            _ => assert!(
                (renewals - renewals / 20 - 1..=renewals + renewals / 8).contains(&count),
                "{count} orders, life {life}"
            ),
        }
        assert!(world.rehearsals.is_empty());
        assert!(world.held.unwrap().until > world.now);
    }
}

#[test]
fn the_authority_says_when() {
    let mut world = World::new(90 * DAY);
    world.go_on(START + 1000 * DAY, |_| true, |held| Some((held.from + 50 * DAY, held.from + 52 * DAY)));
    assert!((19..=20).contains(&world.orders.len()), "{}", world.orders.len());
    assert!(world.questions < 1000 * 5, "{} questions", world.questions);
    for pair in world.orders.windows(2) {
        assert!((49 * DAY..53 * DAY).contains(&(pair[1] - pair[0])), "{pair:?}");
    }
    // A window that lies in the past each time, as after a mass revocation, or because the authority is mistaken.
    let mut world = World::new(90 * DAY);
    world.go_on(START + 30 * DAY, |_| true, |held| Some((held.from - DAY, held.from)));
    assert!((28..=31).contains(&world.orders.len()), "at most once a day, {}", world.orders.len());
    // A window after the end, and one that ends before it starts.
    for window in
        [|held: &Held| Some((held.until + DAY, held.until + 2 * DAY)), |held: &Held| Some((held.until, held.from))]
    {
        let mut world = World::new(90 * DAY);
        world.go_on(START + 360 * DAY, |_| true, window);
        assert!((4..=7).contains(&world.orders.len()), "{}", world.orders.len());
        assert!(world.held.unwrap().until > world.now);
    }
}

#[test]
fn thirty_days_without_the_authority() {
    // From the beginning, and in the middle of a certificate's life.
    for before in [0, 100 * DAY] {
        let mut world = World::new(90 * DAY);
        let (begin, end) = (START + before, START + before + 30 * DAY);
        // So that the renewal falls due as the outage begins.
        world.go_on(begin, |_| true, |_| None);
        if before > 0 {
            world.held = Some(Held { from: begin - 60 * DAY, until: begin + 30 * DAY, fits: true });
            (world.history.success, world.orders) = (begin - 60 * DAY, Vec::new());
        }
        world.go_on(end, |_| false, |_| None);
        let all: Vec<u64> = world.orders.iter().chain(&world.rehearsals).copied().collect();
        assert!(all.len() <= 130, "{} orders", all.len());
        assert!(World::most_in_an_hour(&all) <= 5, "{} in an hour", World::most_in_an_hour(&all));
        assert_eq!(world.orders.len(), 1, "the others were at the staging directory");
        let mut late: Vec<u64> = world.rehearsals.iter().copied().filter(|at| *at > begin + DAY).collect();
        late.sort_unstable();
        for pair in late.windows(2) {
            assert!((5 * HOUR + 24 * MINUTE..=6 * HOUR + MINUTE).contains(&(pair[1] - pair[0])), "{pair:?}");
        }
        world.go_on(end + 6 * HOUR, |_| true, |_| None);
        assert!(world.held.unwrap().until > end + 60 * DAY, "recovered");
        assert_eq!(world.orders.len(), 2);
    }
}

#[test]
fn decisions() {
    let life = |from: u64, until: u64| Some(Held { from, until, fits: true });
    let fresh = life(START, START + 90 * DAY);
    let none = History::default();
    let failed = none.begun(START, 0).failed(START, None);
    let limited = none.begun(START, 0).failed(START, Some(2 * HOUR));
    let patient = none.begun(START, 0).failed(START, Some(30 * DAY));
    let known = Some(Advice { window: None, ask_again: START + 40 * DAY });
    // Obtained now, by a clock that is ahead, and long ago, by one that was set back since.
    let (obtained, later) = (none.begun(START, 0).succeeded(START), none.begun(START, 0).succeeded(START + 999 * DAY));
    let over = life(START - 10 * DAY, START - 3 * DAY);
    let order = Step::Order { authority: 0, rehearse: false };
    let rehearsed = Step::Order { authority: 0, rehearse: true };
    for (name, now, held, advice, history, wish, expected) in [
        ("first", START, None, None, none, None, order),
        ("new", START, fresh, None, none, None, Step::AskAdvice),
        ("known", START, fresh, known, none, None, Step::Wait(START + 40 * DAY)),
        ("a clock that is ahead", START, over, known, obtained, None, Step::Wait(START + DAY)),
        ("a day later", START + DAY, over, known, obtained, None, order),
        ("after a success in the future", START + 60 * DAY, fresh, known, later, None, order),
        ("a third is left", START + 60 * DAY, fresh, known, none, None, order),
        ("other names", START, Some(Held { fits: false, ..fresh.unwrap() }), known, none, None, order),
        ("renewal is wished", START, fresh, known, none, Some(Wish::Renew), order),
        ("a retry is none", START, fresh, known, none, Some(Wish::Retry), Step::Wait(START + 40 * DAY)),
        ("after a failure", START, None, None, failed, None, Step::Wait(START + MINUTE)),
        ("after the pause", START + MINUTE, None, None, failed, None, rehearsed),
        ("a retry is wished", START, None, None, failed, Some(Wish::Retry), rehearsed),
        ("a clock set back", START - 9 * DAY, None, None, failed, None, Step::Wait(START - 9 * DAY + MINUTE)),
        ("Retry-After", START + HOUR, None, None, limited, None, Step::Wait(START + 2 * HOUR)),
        ("Retry-After, wished", START + HOUR, None, None, limited, Some(Wish::Renew), Step::Wait(START + 2 * HOUR)),
        ("a day at most", START + HOUR, None, None, patient, None, Step::Wait(START + DAY)),
        ("cut off once", START, None, None, none.begun(START, 0), None, order),
        (
            "cut off in a loop",
            START,
            None,
            None,
            none.begun(START, 0).begun(START, 0).begun(START, 0),
            None,
            Step::Wait(START + MINUTE),
        ),
    ] {
        let choice = Choice { authorities: 1 };
        assert_eq!(schedule(now, held.as_ref(), advice.as_ref(), &history, wish, choice), expected, "{name}");
    }
    // After a day of failures all authorities have a turn.
    let long = History { failures: 9, failing_since: START - 2 * DAY, last: START - DAY, ..none };
    let choices: Vec<Step> = [8, 9]
        .map(|failures| schedule(START, None, None, &History { failures, ..long }, None, Choice { authorities: 2 }))
        .to_vec();
    let at = |authority| Step::Order { authority, rehearse: true };
    assert_eq!(choices, [at(0), at(1)]);
}

/// The steps of writing a file before each of which the process may end.
const STEPS: &[&str] =
    &["creation", "content", "half of the content", "sync", "rename", "sync of the folder", "end", "never"];

#[test]
fn a_file_is_whole_wherever_its_writer_ends() {
    use std::os::unix::fs::PermissionsExt as _;
    let old = "old ".repeat(1000);
    let new = "new ".repeat(3000);
    for step in STEPS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("certificate.pem");
        storage::write(&path, old.as_bytes()).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "certificates::tests::the_writer_that_ends", "--nocapture"]);
        child.env("OUTSIDE_TEST_ENDS_BEFORE", step).env("OUTSIDE_TEST_FILE", &path).env("OUTSIDE_TEST_CONTENT", &new);
        let output = child.output().unwrap();
        assert_eq!(output.status.success(), *step == "never", "{step}: {output:?}");
        let text = storage::read(&path).unwrap().unwrap();
        let is_renamed = matches!(*step, "sync of the folder" | "end" | "never");
        assert_eq!(text == new, is_renamed, "{step}");
        assert!(text == old || text == new, "{step}");
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{step}");
        }
        storage::write(&path, b"after it").unwrap();
        assert_eq!(storage::read(&path).unwrap().as_deref(), Some("after it"), "{step}");
    }
}

/// Not a test of its own: the process that the test above starts, and that ends at a step.
#[test]
fn the_writer_that_ends() {
    if let (Some(path), Ok(content)) = (std::env::var_os("OUTSIDE_TEST_FILE"), std::env::var("OUTSIDE_TEST_CONTENT")) {
        storage::write(path.as_ref(), content.as_bytes()).unwrap();
    }
}

#[test]
fn folders_are_for_their_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a/b/c");
    for _ in 0..2 {
        storage::make_folder(&folder).unwrap();
        for path in folder.ancestors().take(3) {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{path:?}");
        }
    }
    std::fs::write(root.path().join("file"), "").unwrap();
    assert!(storage::make_folder(&root.path().join("file/below")).is_err());
}

#[test]
fn processes_that_answer() {
    let folder = tempfile::tempdir().unwrap();
    let challenges = folder.path().join("challenges");
    let one = storage::Presence::join(&challenges).unwrap();
    assert!(one.is_alone() && one.is_alone());
    let other = storage::Presence::join(&challenges).unwrap();
    assert!(!one.is_alone() && !other.is_alone() && !one.is_alone());
    drop(one);
    assert!(other.is_alone());
}

#[test]
fn one_process_leads() {
    let folder = tempfile::tempdir().unwrap();
    let lead = storage::Lead::take(folder.path()).unwrap();
    assert!(lead.is_some() && storage::Lead::take(folder.path()).unwrap().is_none());
    drop(lead);
    assert!(storage::Lead::take(folder.path()).unwrap().is_some());
    assert_eq!(Wish::read(folder.path()), None);
    Wish::Renew.leave(folder.path()).unwrap();
    Wish::Retry.leave(folder.path()).unwrap();
    assert_eq!(Wish::read(folder.path()), Some(Wish::Renew));
    Wish::forget(folder.path());
    assert_eq!(Wish::read(folder.path()), None);
}
