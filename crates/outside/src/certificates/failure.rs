//! Why an attempt has failed: the authority's sentence, and what its user can do.

use std::fmt;
use std::io;
use std::path::Path;

use instant_acme::{ChallengeType, Error as AcmeError, Problem};

use crate::log::one_line;

/// The failure of an attempt.
#[derive(Debug)]
pub(super) struct AttemptFailure {
    text: String,
    advice: Option<&'static str>,
    /// The last part of the problem's type (RFC 8555 section 6.7).
    kind: Option<String>,
    /// Whether the authority may accept the order if it does not name the certificate that it replaces.
    pub(super) is_about_replacing: bool,
}

/// The common beginning of the types of problems.
const TYPES: &str = "urn:ietf:params:acme:error:";
/// Letters of an authority's sentence that are shown, and of a whole failure.
const SHOWN: usize = 500;
const LONGEST: usize = 1000;

impl AttemptFailure {
    /// A failure with this sentence, of which an authority may have chosen parts.
    pub(super) fn new(text: String) -> Self {
        Self { text: shortened(&text, LONGEST), advice: None, kind: None, is_about_replacing: false }
    }

    pub(super) fn of_storage(path: &Path, error: &io::Error) -> Self {
        let text = format!("{path:?} cannot be written: {error}");
        Self { advice: Some("free disk space or the rights of the folder"), ..Self::new(text) }
    }

    pub(super) fn of(error: AcmeError) -> Self {
        match error {
            AcmeError::Api(problem) => Self::of_problem(&problem, ""),
            AcmeError::Json(error) => Self::new(format!("the authority's answer cannot be understood: {error}")),
            error => Self::new(shortened(&error.to_string(), SHOWN)),
        }
    }

    pub(super) fn of_new_order(error: AcmeError, is_replacement: bool) -> Self {
        // An authority that ignores the field does not repeat it in its answer.
        let is_ignored =
            matches!(&error, AcmeError::Other(inner) if inner.to_string().starts_with("replaces field mismatch"));
        let is_unsupported = matches!(error, AcmeError::Unsupported(_));
        let failure = Self::of(error);
        let is_refused =
            matches!(failure.kind(), Some("alreadyReplaced" | "malformed" | "unauthorized" | "serverInternal"));
        Self { is_about_replacing: is_replacement && (is_ignored || is_unsupported || is_refused), ..failure }
    }

    pub(super) fn of_validation(name: &str, challenge: &ChallengeType, problem: &Problem) -> Self {
        let (way, port) = match challenge {
            ChallengeType::TlsAlpn01 => ("tls-alpn-01, port 443", true),
            ChallengeType::Http01 => ("http-01, port 80", true),
            _ => ("dns-01", false),
        };
        let mut failure = Self::of_problem(problem, &format!("{name} could not be validated ({way}): "));
        if port && !matches!(failure.kind(), Some("caa" | "dns" | "rateLimited")) {
            failure.advice = Some(REACHABLE);
        }
        failure
    }

    fn of_problem(problem: &Problem, before: &str) -> Self {
        let kind = problem.r#type.as_deref().map(|kind| kind.strip_prefix(TYPES).unwrap_or(kind).to_owned());
        let detail = problem.detail.as_deref().unwrap_or("it gives no reason");
        let mut said = detail.to_owned();
        for inner in &problem.subproblems {
            said.push_str(&format!("; {inner}"));
        }
        let kind_text = kind.as_deref().map(|kind| format!(" ({kind})")).unwrap_or_default();
        let text = format!("{before}the authority says: {}{kind_text}", shortened(&said, SHOWN));
        Self { advice: kind.as_deref().and_then(advice), kind, ..Self::new(text) }
    }

    pub(super) fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }
}

/// An authority's text in one line, for the log.
fn shortened(text: &str, letters: usize) -> String {
    one_line(text).chars().take(letters).collect()
}

const REACHABLE: &str = "the name has to lead to this server itself, by IPv4 and IPv6 alike, with no proxy before it that ends TLS, \
                         and the port has to be open to the internet";

fn advice(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "connection" | "tls" => REACHABLE,
        "dns" => "the DNS has no address for this name, or its servers do not answer",
        "caa" => "a CAA record of the name allows other authorities only",
        "rateLimited" => "the authority's limit is reached; it is asked again when it allows that",
        "externalAccountRequired" => "the authority wants an account of its own: config[\"acme_eab\"]",
        "rejectedIdentifier" | "unsupportedIdentifier" => "the authority does not sign this name",
        "invalidContact" | "unsupportedContact" => "config[\"acme_email\"] is refused",
        "userActionRequired" => "the authority wants its user to read something first",
        "invalidProfile" => "config[\"acme_profile\"] is refused",
        _ => return None,
    })
}

/// One sentence, with advice behind it.
impl fmt::Display for AttemptFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.advice.map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}
