//! Tests of the configuration as a whole.

use super::*;

#[test]
fn every_default_is_allowed() {
    let mut config = Config::default();
    for key in KEYS {
        assert!((key.apply)(&mut config, &key.default), "{}", key.name);
    }
}

#[test]
fn bounds_that_cannot_work_together() {
    let bounds = |process: Value, connection: Value| {
        let values = [("max_unsent_per_connection_mb", connection), ("max_unsent_mb", process)];
        Config::from_values(values).map(|config| (config.most_unsent(), config.most_unsent_per_connection()))
    };
    assert_eq!(bounds(Value::Integer(64), Value::Integer(64)).unwrap(), (64 << 20, 64 << 20));
    assert_eq!(bounds(Value::Integer(2), Value::None).unwrap(), (2 << 20, 2 << 20));
    assert_eq!(bounds(Value::None, Value::None).unwrap().1, 4 << 20);
    let text = bounds(Value::Integer(32), Value::Float(64.5)).unwrap_err().to_string();
    for part in ["\"max_unsent_per_connection_mb\"] is 64.5", "\"max_unsent_mb\"], which is 32"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(bounds(Value::None, Value::Integer(1 << 20)).is_err(), "more than a quarter of the memory");
    assert!(bounds(Value::Integer(0), Value::None).is_err());
}

#[test]
fn memory_of_all_bodies_holds_one() {
    let bounds = |most: i64, above: i64| {
        let values = [("max_body_memory_mb", Value::Integer(most)), ("spool_above_mb", Value::Integer(above))];
        Config::from_values(values).map(|config| config.most_body_memory())
    };
    assert_eq!(bounds(8, 8).unwrap(), 8 << 20);
    assert_eq!(bounds(16, 100).unwrap(), 16 << 20, "a body has no more than max_body_size_mb");
    let text = bounds(8, 9).unwrap_err().to_string();
    assert!(text.contains("\"max_body_memory_mb\"] is 8, less than one body may have in memory: that is 9"), "{text}");
}

#[test]
fn one_message_names_every_fault() {
    let values = [("max_worker", Value::Integer(3)), ("keep_alive", Value::Owned("yes".into())), ("zzz", Value::None)];
    let text = Config::from_values(values).unwrap_err().to_string();
    for part in ["\"max_worker\"", "did you mean \"max_workers\"?", "keep_alive", "\"yes\"", "True or False", "zzz"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_part_of_the_connections_is_no_more_than_all() {
    let bounds = |all: Value, address: i64, websockets: i64| {
        let parts = [
            ("max_connections_per_ip", Value::Integer(address)),
            ("max_websocket_connections", Value::Integer(websockets)),
        ];
        Config::from_values([("max_connections", all)].into_iter().chain(parts))
    };
    assert!(bounds(Value::Integer(50), 50, 50).is_ok());
    assert!(bounds(Value::None, 100_000, 100_000).is_ok());
    let text = bounds(Value::Integer(50), 51, 60).unwrap_err().to_string();
    for part in ["\"max_connections_per_ip\"] is 51", "\"max_websocket_connections\"] is 60", "which is 50"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
