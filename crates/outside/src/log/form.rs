//! The format of the access log's lines: from the setting, and from the kind of sink.

use std::ffi::OsString;
use std::io::IsTerminal as _;

use super::sink::LogSink;
use crate::config::AccessLog;

/// The forms of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFormat {
    Off,
    Common,
    Combined,
    Json,
    /// For people, without colours: the terminal shows none, or its user wants none.
    Plain,
    /// For people on a terminal.
    Coloured,
}

impl LineFormat {
    /// `Auto` means the format for people if the lines go straight to a terminal, else a format for machines. A sink
    /// that handles the lines itself before they reach a terminal gets a format with a name.
    pub(super) fn chosen(setting: AccessLog, sink: &dyn LogSink) -> Self {
        match setting {
            AccessLog::Off => Self::Off,
            AccessLog::Common => Self::Common,
            AccessLog::Combined => Self::Combined,
            AccessLog::Json => Self::Json,
            AccessLog::Auto if sink.is_terminal() => Self::on_terminal(std::env::var_os),
            AccessLog::Auto if std::io::stderr().is_terminal() => Self::Common,
            AccessLog::Auto => Self::Json,
        }
    }

    /// NO_COLOR counts if it is there and not empty (no-color.org).
    fn on_terminal(variable: impl Fn(&'static str) -> Option<OsString>) -> Self {
        let unwanted = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let unable = variable("TERM").is_some_and(|value| value == "dumb");
        if unwanted || unable { Self::Plain } else { Self::Coloured }
    }

    /// Whether a line shows how long an exchange took.
    pub(super) fn shows_duration(self) -> bool {
        matches!(self, Self::Json | Self::Plain | Self::Coloured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_can_be_refused() {
        for (name, value, form) in [
            ("NO_COLOR", "1", LineFormat::Plain),
            ("NO_COLOR", "0", LineFormat::Plain),
            ("NO_COLOR", "", LineFormat::Coloured),
            ("TERM", "dumb", LineFormat::Plain),
            ("TERM", "xterm-256color", LineFormat::Coloured),
        ] {
            let environment = |asked: &str| (asked == name).then(|| OsString::from(value));
            assert_eq!(LineFormat::on_terminal(environment), form, "{name}={value}");
        }
    }
}
