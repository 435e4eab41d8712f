//! Renewal of certificates by their files: faults, times, and certificates that are still to come.

use std::path::PathBuf;

use rcgen::date_time_ymd;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Writes `NAME.pem` and `NAME.key`, valid for these days around now.
fn write(folder: &Path, name: &str, (before, after): (u64, u64)) -> CertificateFiles {
    let days = |days: u64| date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now()) + DAY * days as u32;
    let mut parameters = rcgen::CertificateParams::new(vec![format!("{name}.example")]).unwrap();
    parameters.not_before = days(0) - DAY * before as u32;
    parameters.not_after = days(after);
    let key = rcgen::KeyPair::generate().unwrap();
    let files = files(folder, name);
    std::fs::write(&files.certfile, parameters.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&files.keyfile, key.serialize_pem()).unwrap();
    files
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn files(folder: &Path, name: &str) -> CertificateFiles {
    let path = |kind: &str| -> PathBuf { folder.join(format!("{name}.{kind}")) };
    CertificateFiles { certfile: path("pem"), keyfile: path("key") }
}

fn load(files: Vec<CertificateFiles>) -> Identities {
    Identities::load(files, Vec::new(), Arc::new(rustls::crypto::aws_lc_rs::default_provider())).unwrap()
}

fn told(notices: &[Notice]) -> Vec<&str> {
    let text = |notice| match notice {
        &Notice::Renewed(_) => "renewed",
        Notice::Fault(text) | Notice::Early(text) => text.split(": ").next().unwrap_or_default(),
    };
    notices.iter().map(text).collect()
}

const LEFT_OUT: &str = "a certificate is left out until it can be used";
const OLD_STAY: &str = "new certificates are refused, the old ones stay";
const OUTLIVED: &str = "a certificate that clients refuse is shown";

#[test]
fn what_is_wrong_is_said_once_a_day_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "good", (1, 9));
    let identities = load(vec![good, files(folder.path(), "missing")]);
    let now = SystemTime::now();
    assert_eq!(told(&identities.renew_at(now, false)), [LEFT_OUT]);
    for hours in 1..24 {
        assert_eq!(told(&identities.renew_at(now + HOUR * hours, false)), [""; 0], "after {hours} hours");
    }
    assert_eq!(told(&identities.renew_at(now + DAY, false)), [LEFT_OUT]);
    assert_eq!(told(&identities.renew_at(now + DAY + HOUR, true)), [LEFT_OUT], "on request");
    // The other one is renewed all the same.
    write(folder.path(), "good", (1, 8));
    assert_eq!(told(&identities.renew_at(now + DAY + HOUR, false)), ["renewed"]);
    write(folder.path(), "missing", (1, 9));
    assert!(!identities.are_for("missing.example"));
    assert_eq!(told(&identities.renew_at(now + DAY + HOUR, false)), ["renewed"]);
    assert!(identities.are_for("missing.example"));
}

#[test]
fn half_of_a_pair_is_given_time() {
    let folder = tempfile::tempdir().unwrap();
    let identities = load(vec![write(folder.path(), "main", (1, 9))]);
    std::fs::write(folder.path().join("main.key"), "").unwrap();
    let now = SystemTime::now();
    assert_eq!(told(&identities.renew_at(now, false)), [""; 0]);
    assert_eq!(told(&identities.renew_at(now + FIRST_PAUSE, false)), [OLD_STAY]);
    write(folder.path(), "main", (1, 9));
    assert_eq!(told(&identities.renew_at(now + FIRST_PAUSE, false)), ["renewed"]);
}

#[test]
fn files_that_look_the_same_are_read_again_ever_more_rarely() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "good", (1, 9));
    let identities = load(vec![good, files(folder.path(), "bad")]);
    let mut entries = identities.entries.lock().unwrap();
    let (begin, mut reads) = (SystemTime::now(), 0);
    for seconds in 0..600 {
        let now = begin + Duration::from_secs(seconds);
        entries[1].look(&identities.provider, now, false);
        reads += u32::from(entries[1].refused.as_ref().unwrap().since == now);
    }
    assert!((12..20).contains(&reads), "{reads} times in ten minutes");
    // A clock that goes back does not stop it.
    entries[1].look(&identities.provider, begin - DAY, false);
    assert_eq!(entries[1].refused.as_ref().unwrap().since, begin - DAY);
}

#[test]
fn its_time_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let identities = load(vec![write(folder.path(), "main", (1, 2)), write(folder.path(), "other", (1, 9))]);
    let now = SystemTime::now();
    let shown = || Arc::as_ptr(&identities.directory().for_name("main.example").unwrap()[0]);
    let before = shown();
    // A new one for later …
    let new = write(folder.path(), "main", (0, 5));
    let later = now + DAY + HOUR;
    assert_eq!(told(&identities.renew_at(now - DAY / 2, false)), [""; 0]);
    assert_eq!(told(&identities.renew_at(now - DAY / 2 + HOUR, false)), [OLD_STAY]);
    assert_eq!(shown(), before);
    assert_eq!(told(&identities.renew_at(later, false)), ["renewed"], "… whose time has come");
    assert_ne!(shown(), before);
    assert_eq!(told(&identities.renew_at(later + DAY, false)), [""; 0]);
    // The old one outlives it, and stays in use for its name, but no more for clients that name no host.
    assert_eq!(identities.directory().first.as_ref().map(Arc::as_ptr), Some(shown()));
    assert_eq!(told(&identities.renew_at(now + DAY * 6, false)), [OUTLIVED]);
    assert_eq!(told(&identities.renew_at(now + DAY * 6 + HOUR, false)), [""; 0]);
    assert!(identities.are_for("main.example"));
    assert_ne!(identities.directory().first.as_ref().map(Arc::as_ptr), Some(shown()));
    drop(new);
}
