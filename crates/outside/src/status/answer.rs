//! The answers by path.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::access::{Access, Peer, access};
use super::overview::{Overview, RecentSums, count_workers};
use super::page::{POLICY, page};
use super::stacks;
use crate::config::Config;
use crate::message::{Headers, Request, TrustedProxy};
use crate::metrics::{Meter, Point, Sheet, exposition, now};

/// An answer of this listener.
pub(super) struct StatusAnswer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
}

/// Makes the answers.
pub(super) struct Answerer {
    meter: Arc<Meter>,
    allowed: Vec<TrustedProxy>,
    has_page: bool,
    /// The last overview, which clients share that ask within the same moment.
    last: Mutex<Option<(Instant, Arc<[u8]>)>>,
    recent: Mutex<RecentSums>,
}

/// Time for which an overview is shared: many open pages ask for no more than one needs.
const FRESH: Duration = Duration::from_millis(100);
const TEXT: &str = "text/plain; charset=utf-8";
/// The media type of Prometheus' text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

impl StatusAnswer {
    fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let mut headers = Headers::new();
        for (name, value) in [
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", POLICY.as_str()),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ] {
            headers.push_checked(name.as_bytes(), value.as_bytes());
        }
        Self { status, content_type, headers, body: body.into() }
    }

    pub(super) fn refused(status: u16, reason: &str) -> Self {
        Self::new(status, TEXT, format!("{reason}\n"))
    }
}

impl Answerer {
    pub(super) fn new(meter: Arc<Meter>, config: &Config) -> Self {
        Self {
            meter,
            allowed: config.metrics_allow.clone(),
            has_page: config.status_page,
            last: Mutex::default(),
            recent: Mutex::default(),
        }
    }

    /// The answer to a request from this peer.
    pub(super) async fn answer(&self, request: &Request, peer: Peer) -> StatusAnswer {
        let sees_page = match access(request, peer, &self.allowed) {
            Access::Nothing(reason) => return StatusAnswer::refused(403, reason),
            Access::Metrics => false,
            Access::Everything => self.has_page,
        };
        if !matches!(request.method(), "GET" | "HEAD") {
            let mut answer = StatusAnswer::refused(405, "this listener is for reading");
            answer.headers.push_checked(b"Allow", b"GET, HEAD");
            return answer;
        }
        match request.url() {
            "/metrics" => StatusAnswer::new(200, EXPOSITION, self.metrics()),
            "/status" | "/" if sees_page => StatusAnswer::new(200, "text/html; charset=utf-8", page()),
            "/status.json" if sees_page => StatusAnswer::new(200, "application/json", self.overview().to_vec()),
            "/status/stack" if sees_page => self.stack(request).await,
            _ => StatusAnswer::refused(404, "nothing is here"),
        }
    }

    fn metrics(&self) -> String {
        let mut sheet = self.meter.collect();
        count_workers(&mut sheet);
        exposition(&sheet.totals)
    }

    /// The overview as of this moment.
    fn overview(&self) -> Arc<[u8]> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, text)) = &*last
            && made.elapsed() < FRESH
        {
            return Arc::clone(text);
        }
        let (sheet, at, now) = (self.meter.collect(), Instant::now(), now());
        let history = self.meter.history(now / 1000);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.note(&sheet, at);
        let (recent, events) = (&*recent, &self.meter.events());
        let overview = Overview { sheet: &sheet, history: &history, recent, events, at, now }.to_json();
        let text: Arc<[u8]> = overview.into_bytes().into();
        *last = Some((Instant::now(), Arc::clone(&text)));
        text
    }

    /// Notes the sums of this moment, so that a page that is opened later has rates and a history.
    pub(super) fn note_history(&self) {
        let sheet: Sheet = self.meter.collect();
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).note(&sheet, Instant::now());
        let seconds = now() / 1000;
        self.meter.note_history(seconds, || Point::of(&sheet, seconds));
    }

    /// Where a call is, as far as its process tells.
    async fn stack(&self, request: &Request) -> StatusAnswer {
        let query = request.query();
        let number = |name: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
            Some(pair.to_owned())
        };
        let (Some(pid), Some(call)) = (number("pid").and_then(|pid| pid.parse::<u64>().ok()), number("call")) else {
            return StatusAnswer::refused(400, "a process and a call are needed: ?pid=1&call=2");
        };
        let thread = number("thread").unwrap_or_default();
        let sheet = self.meter.collect();
        let asked = move || stacks::ask(&sheet, pid, &call, &thread);
        match tokio::task::spawn_blocking(asked).await {
            Ok(Ok(text)) => StatusAnswer::new(200, TEXT, text),
            Ok(Err(reason)) => StatusAnswer::refused(404, &reason),
            Err(_) => StatusAnswer::refused(500, "the question failed"),
        }
    }
}
