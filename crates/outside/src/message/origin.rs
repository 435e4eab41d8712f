//! Origins of pages as browsers send them (RFC 6454 section 6): split, and normalised.

/// Scheme and authority.
pub(crate) fn split_origin(origin: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(origin).ok()?.split_once("://")
}

/// The default port of a scheme.
pub(crate) fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some("80"),
        "https" | "wss" => Some("443"),
        _ => None,
    }
}

/// An empty port counts as missing (RFC 3986 section 3.2.3).
pub(crate) fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // An IPv6 address has colons within its brackets as well.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, Some(port).filter(|port| !port.is_empty()))
        }
        _ => (authority, None),
    }
}

/// Lower case, without a default port and without a slash at the end.
pub(crate) fn normalised_origin(origin: &[u8]) -> Option<String> {
    if origin == b"null" {
        return Some("null".to_owned());
    }
    let (scheme, authority) = split_origin(origin)?;
    let (host, port) = host_and_port(authority.strip_suffix('/').unwrap_or(authority));
    let is_host = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\"<>\\^`{|}*,".contains(&byte);
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        return None;
    }
    if host.is_empty() || !host.bytes().all(is_host) {
        return None;
    }
    let mut text = format!("{scheme}://{host}");
    if let Some(port) = port.filter(|port| default_port(scheme) != Some(port)) {
        text.push(':');
        text.push_str(port);
    }
    text.make_ascii_lowercase();
    Some(text)
}
