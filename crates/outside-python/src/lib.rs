//! The binding.
use pyo3::prelude::*;

/// The compiled half of the `outside` package.
#[pymodule]
mod _outside {}
