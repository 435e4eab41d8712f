//! Passes PyO3's settings on: which Python is built for, and whether by the limited API.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
