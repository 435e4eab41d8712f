//! The checks of a certificate before it is put in place: an authority may make mistakes, and the one in use is better.

use std::path::Path;

use super::clock::{date, seconds};
use super::failure::AttemptFailure;
use crate::transport::inspect;

/// Seconds by which the clocks of this machine and of the authority may differ.
const TOLERANCE: u64 = 3600;

/// Bytes of key and chain at most: clients end a handshake with a larger chain, and a server reads no file of 1 MiB.
const LARGEST: usize = 64 << 10;

/// Checks key and chain. `ahead` are the seconds by which this machine's clock is ahead of the authority's. Returns the
/// end of validity.
///
/// # Errors
/// The key does not fit, a name is missing, there is no issuer behind the certificate, it is not valid now, or too large.
pub(super) fn verify(
    file: &Path,
    pem: &str,
    names: &[String],
    now: u64,
    ahead: i64,
    private_issuers: &[Vec<u8>],
) -> Result<u64, AttemptFailure> {
    let refused = |reason: String| AttemptFailure::new(format!("the authority's certificate is not taken: {reason}"));
    if pem.len() > LARGEST {
        return Err(refused(format!("its chain has {} KiB, which clients refuse", pem.len() >> 10)));
    }
    let inspection = inspect(file, pem.as_bytes()).map_err(|error| refused(error.reason.clone()))?;
    let leaf = &inspection.leaf;
    if let Some(missing) = names.iter().find(|name| !leaf.names.contains(name)) {
        return Err(refused(format!("it is not for {missing}, only for {}", leaf.names.join(", "))));
    }
    let is_issued_below_root = private_issuers.contains(&leaf.issuer);
    if inspection.issuers.first() != Some(&leaf.issuer) && !is_issued_below_root {
        return Err(refused(
            "the certificate of its issuer is not behind it, so that no client could check it".to_owned(),
        ));
    }
    // If this machine's clock is wrong, the authority's decides.
    let now = now.saturating_add_signed(-ahead);
    let (from, until) = (seconds(leaf.not_before), seconds(leaf.not_after));
    if from > now + TOLERANCE {
        return Err(refused(format!("it is valid from {} on, which is later than now", date(from))));
    }
    if until <= now {
        return Err(refused(format!("it has expired: it was valid until {}", date(until))));
    }
    Ok(until)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "an authority");
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    }

    /// Key, certificate for these names in 2030, and chain.
    fn issued(issuer: &CertifiedIssuer<'static, KeyPair>, names: &[&str]) -> (String, String, String) {
        let key = KeyPair::generate().unwrap();
        let mut parameters =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2030, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2030, 4, 1);
        let certificate = parameters.signed_by(&key, issuer).unwrap();
        (key.serialize_pem(), certificate.pem(), issuer.pem())
    }

    #[test]
    fn faults_of_authorities() {
        const BEGIN: u64 = 1_893_456_000;
        let issuer = authority();
        let (key, leaf, chain) = issued(&issuer, &["a.example", "127.0.0.1"]);
        let (other_key, ..) = issued(&issuer, &["a.example"]);
        let (own, both) =
            (["a.example".to_owned(), "127.0.0.1".to_owned()], ["a.example".to_owned(), "b.example".to_owned()]);
        let whole = format!("{key}{leaf}{chain}");
        let roots = [crate::transport::subject_of(issuer.der()).unwrap()];
        let file = Path::new("certificate.pem");
        let day = 86_400_i64;
        for (pem, names, now, ahead, roots, expected) in [
            (&whole, &own, BEGIN, 0, &roots[..0], None),
            (&format!("{key}{leaf}"), &own, BEGIN, 0, &roots[..], None),
            (&whole, &own, BEGIN - 3000, 0, &roots[..0], None),
            (&whole, &own, BEGIN - 2 * 86_400, -2 * day, &roots[..0], None),
            (&whole, &own, BEGIN + 200 * 86_400, 190 * day, &roots[..0], None),
            (&format!("{key}{leaf}"), &own, BEGIN, 0, &roots[..0], Some("issuer is not behind it")),
            (&format!("{other_key}{leaf}{chain}"), &own, BEGIN, 0, &roots[..0], Some("does not match")),
            (&format!("{key}{chain}{leaf}"), &own, BEGIN, 0, &roots[..0], Some("does not match")),
            (&whole, &both, BEGIN, 0, &roots[..0], Some("not for b.example")),
            (&whole, &own, BEGIN - 2 * 86_400, 0, &roots[..0], Some("later than now")),
            (&whole, &own, BEGIN + 100 * 86_400, 0, &roots[..0], Some("has expired")),
            (&key, &own, BEGIN, 0, &roots[..0], Some("no certificate")),
            (&format!("{whole}{}", chain.repeat(200)), &own, BEGIN, 0, &roots[..0], Some("which clients refuse")),
            (&String::from("<html>"), &own, BEGIN, 0, &roots[..0], Some("not taken")),
        ] {
            match (verify(file, pem, names, now, ahead, roots), expected) {
                (Ok(_), None) => {}
                (Err(failure), Some(part)) => assert!(failure.to_string().contains(part), "{failure}"),
                (result, expected) => panic!("{result:?}, not {expected:?}"),
            }
        }
    }
}
