//! The settings of the listener that tells the numbers of a server: `metrics`, `metrics_allow` and `status_page`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::Config;
use super::value::Value;
use crate::error::Error;
use crate::message::TrustedProxy;

/// The place of the listener for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsPlace {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket, which its owner alone may open.
    Unix(PathBuf),
}

/// The meaning of a value of the key `metrics`; the outer `None` if it is refused.
pub(super) fn read_place(value: &Value) -> Option<Option<MetricsPlace>> {
    let text = match value {
        Value::None | Value::Bool(false) => return Some(None),
        Value::Address(ip, port) => return tcp(ip, *port).map(Some),
        Value::List(pair) => {
            let [Value::Owned(ip), Value::Integer(port)] = pair.as_slice() else { return None };
            return tcp(ip, u16::try_from(*port).ok()?).map(Some);
        }
        Value::Owned(text) => text.as_str(),
        Value::Text(text) => text,
        _ => return None,
    };
    if let Some(path) = text.strip_prefix("unix:") {
        // An abstract name has no permissions: every program of the machine could read the numbers.
        return (!path.is_empty() && !path.starts_with('@')).then(|| Some(MetricsPlace::Unix(path.into())));
    }
    let (ip, port) = text.rsplit_once(':')?;
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    tcp(ip, port.parse().ok()?).map(Some)
}

fn tcp(ip: &str, port: u16) -> Option<MetricsPlace> {
    let ip = if ip == "localhost" { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip.parse().ok()? };
    Some(MetricsPlace::Tcp(SocketAddr::new(ip, port)))
}

/// The meaning of a value of the key `metrics_allow`.
pub(super) fn read_allowed(value: &Value) -> Option<Vec<TrustedProxy>> {
    let network = |text: &str| text.parse().ok().filter(|network| matches!(network, TrustedProxy::Network(..)));
    match value {
        Value::Texts(texts) => texts.iter().map(|text| network(text)).collect(),
        Value::Owned(text) => Some(vec![network(text)?]),
        Value::List(values) => {
            let text = |value: &Value| match value {
                Value::Owned(text) => network(text),
                Value::Text(text) => network(text),
                _ => None,
            };
            values.iter().map(text).collect()
        }
        _ => None,
    }
}

impl Config {
    /// Refuses a listener that other machines reach, unless the networks are named that may read it.
    pub(super) fn check_metrics(&self) -> Result<(), Error> {
        match &self.metrics {
            Some(MetricsPlace::Tcp(address))
                if !address.ip().to_canonical().is_loopback() && self.metrics_allow.is_empty() =>
            {
                let (ip, port) = (address.ip(), address.port());
                Err(Error::new(format!(
                    "config[\"metrics\"] is (\"{ip}\", {port}), which other machines can reach; config[\"metrics_allow\"] \
                     names the networks that may read it, such as [\"10.0.0.0/8\"]"
                )))
            }
            None if self.status_page => {
                let text = "config[\"status_page\"] is on the listener of config[\"metrics\"], which is not set";
                Err(Error::new(format!("{text}: for example to (\"127.0.0.1\", 9464)")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Option<MetricsPlace>> {
        read_place(&Value::Owned(value.into()))
    }

    #[test]
    fn places() {
        let tcp = |address: &str| Some(Some(MetricsPlace::Tcp(address.parse().unwrap())));
        assert_eq!(read_place(&Value::Address("127.0.0.1".into(), 9464)), tcp("127.0.0.1:9464"));
        assert_eq!(read("localhost:9464"), tcp("127.0.0.1:9464"));
        assert_eq!(read("[::1]:9464"), tcp("[::1]:9464"));
        assert_eq!(read("unix:/run/m"), Some(Some(MetricsPlace::Unix("/run/m".into()))));
        for wrong in ["", "unix:", "unix:@name", "example.com:1", "127.0.0.1", "127.0.0.1:70000"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_place_that_others_reach() {
        let open = Value::Address("0.0.0.0".into(), 9464);
        let error = Config::from_values([("metrics", open.clone())]).unwrap_err().to_string();
        assert!(error.contains("metrics_allow"), "{error}");
        let networks = Value::List(vec![Value::Owned("10.0.0.0/8".into())]);
        assert!(Config::from_values([("metrics", open), ("metrics_allow", networks)]).is_ok());
        let error = Config::from_values([("status_page", Value::Bool(true))]).unwrap_err().to_string();
        assert!(error.contains("which is not set"), "{error}");
        assert!(Config::from_values([("metrics_allow", Value::Owned("unix".into()))]).is_err());
    }
}
