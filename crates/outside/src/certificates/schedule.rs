//! The schedule of one certificate: the clock, the certificate, the authority's advice and the history in, the next step
//! out.
//!
//! Pure, so that years are simulated in a test. All times are seconds since 1970 by the clock of this machine, which may
//! be set back or forth at any moment.

/// The certificate that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) from: u64,
    pub(crate) until: u64,
    /// Whether it has exactly the configured names, and comes from a configured authority.
    pub(crate) fits: bool,
}

/// The authority's advice on renewal (ARI, RFC 9773).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    /// The window in which the authority wants the renewal, and the moment in it that was chosen at random.
    pub(crate) window: Option<Window>,
    /// When to ask again.
    pub(crate) ask_again: u64,
}

/// A window for the renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) chosen: u64,
}

/// The attempts so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// Attempts that have failed since the last success.
    pub(crate) failures: u32,
    /// Attempts in a row that were cut off, because their process ended.
    pub(crate) interruptions: u32,
    /// The last attempt, and the first of those that have failed.
    pub(crate) last: u64,
    pub(crate) failing_since: u64,
    /// The last success.
    pub(crate) success: u64,
    /// The time before which the authority wants no request (Retry-After).
    pub(crate) not_before: u64,
    /// A random number from 0 to 1000, new for each attempt: servers that failed together do not return together.
    pub(crate) jitter: u64,
}

/// A user's wish, which skips a wait once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The pause after a failure is skipped.
    Retry,
    /// The certificate is renewed, whether it is due or not.
    Renew,
}

/// The authorities that are configured, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) authorities: usize,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A certificate is ordered from this authority. `rehearse`: first from its staging directory, if it has one.
    Order { authority: usize, rehearse: bool },
    /// The authority is asked when the certificate should be renewed.
    AskAdvice,
    /// Nothing happens before this time.
    Wait(u64),
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Pauses after the first failures, in seconds; after further ones it is the last of them. Up to a thirtieth is taken off
/// at random.
const PAUSES: [u64; 6] = [MINUTE, 5 * MINUTE, 20 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR];
/// Attempts in a row that may be cut off before that counts as failures.
const FREE_INTERRUPTIONS: u32 = 2;
/// Seconds of life below which a certificate is a short one: it is renewed at half of its life, not at a third.
const SHORT_LIFE: u64 = 10 * DAY;
/// Longest time for which a Retry-After of the authority is obeyed, in seconds.
pub(crate) const LONGEST_RETRY_AFTER: u64 = DAY;
/// Bounds of the interval at which the authority is asked for advice, in seconds (RFC 9773 section 4.3).
const ADVICE_INTERVAL: (u64, u64) = (MINUTE, DAY);

/// The next step for one certificate.
pub(crate) fn schedule(
    now: u64,
    held: Option<&Held>,
    advice: Option<&Advice>,
    history: &History,
    wish: Option<Wish>,
    choice: Choice,
) -> Step {
    let at = due(now, held, advice, history, wish).max(earliest(now, history, wish));
    if at <= now {
        return Step::Order { authority: authority(now, history, choice), rehearse: history.failures > 0 };
    }
    let ask_again = match (held, advice) {
        (Some(held), None) if held.fits => 0,
        (Some(held), Some(advice)) if held.fits => advice.ask_again,
        _ => return Step::Wait(at),
    };
    if ask_again <= now && history.not_before <= now {
        Step::AskAdvice
    } else {
        Step::Wait(at.min(ask_again.max(now + 1)))
    }
}

/// The time from which on the certificate should be replaced.
fn due(now: u64, held: Option<&Held>, advice: Option<&Advice>, history: &History, wish: Option<Wish>) -> u64 {
    let Some(held) = held.filter(|held| held.fits && wish != Some(Wish::Renew)) else { return 0 };
    let life = held.until.saturating_sub(held.from);
    let renewal = match advice.and_then(|advice| advice.window) {
        // A twentieth of the life is left for attempts, even if the authority advises a later time.
        Some(window) => window.chosen.min(held.until.saturating_sub(life / 20)),
        None => held.until.saturating_sub(if life < SHORT_LIFE { life / 2 } else { life / 3 }),
    };
    // With a clock that is ahead, or advice that lies in the past each time, a new certificate would be due at once, again
    // and again. A success in the future means that the clock was set back.
    let rest = if history.success <= now { history.success.saturating_add((life / 3).min(DAY)) } else { 0 };
    renewal.max(rest)
}

/// The time before which no attempt is made.
fn earliest(now: u64, history: &History, wish: Option<Wish>) -> u64 {
    // The bound holds for a clock that was set back as well.
    let not_before = history.not_before.min(now + LONGEST_RETRY_AFTER);
    let failures = history.failures + history.interruptions.saturating_sub(FREE_INTERRUPTIONS);
    if failures == 0 || wish.is_some() {
        return not_before;
    }
    let pause = PAUSES[(failures as usize).min(PAUSES.len()) - 1];
    not_before.max(history.last.min(now) + pause - pause * history.jitter.min(1000) / 30_000)
}

/// The authority to ask: the first; after a day of failures all of them in turn.
fn authority(now: u64, history: &History, choice: Choice) -> usize {
    if history.failures == 0 || now.saturating_sub(history.failing_since) < DAY {
        return 0;
    }
    history.failures as usize % choice.authorities.max(1)
}

/// The advice of an authority that suggests this window and wants to be asked again after `retry_after` seconds. A window
/// that ends before it starts is none. The chosen moment stays as long as the window does.
pub(crate) fn advised(
    now: u64,
    (start, end): (u64, u64),
    retry_after: u64,
    before: Option<&Advice>,
    random: impl FnOnce(u64) -> u64,
) -> Advice {
    let ask_again = now + retry_after.clamp(ADVICE_INTERVAL.0, ADVICE_INTERVAL.1);
    let kept = before.and_then(|before| before.window).filter(|window| (window.start, window.end) == (start, end));
    let new = || (start < end).then(|| Window { start, end, chosen: start + random(end - start) });
    Advice { window: kept.or_else(new), ask_again }
}

/// The advice after a question that had no answer: the window that is known stays.
pub(crate) fn unadvised(now: u64, held: &Held, before: Option<&Advice>) -> Advice {
    let life = held.until.saturating_sub(held.from);
    let ask_again = now + (life / 8).clamp(ADVICE_INTERVAL.0, 6 * HOUR);
    Advice { window: before.and_then(|before| before.window), ask_again }
}

impl History {
    /// The history as an attempt begins: if its process ends, it counts as cut off.
    pub(crate) fn begun(self, now: u64, jitter: u64) -> Self {
        Self { interruptions: self.interruptions + 1, last: now, jitter, ..self }
    }

    /// The history after a failure. `retry_after`: the seconds for which the authority wants no request.
    pub(crate) fn failed(self, now: u64, retry_after: Option<u64>) -> Self {
        let failing_since = if self.failures == 0 { now } else { self.failing_since };
        let not_before = retry_after.map_or(0, |seconds| now + seconds.min(LONGEST_RETRY_AFTER));
        Self { failures: self.failures + 1, interruptions: 0, last: now, failing_since, not_before, ..self }
    }

    /// The history after a success.
    pub(crate) fn succeeded(self, now: u64) -> Self {
        Self { last: now, success: now, jitter: self.jitter, ..Self::default() }
    }
}
