//! Calling Python: plain functions on the engine's threads, `async def` functions on the asyncio loop. The kind of a
//! function is decided once, when it is set.

pub(crate) mod asynchronous;
pub(crate) mod context;
mod early;
mod early_calls;
pub(crate) mod handler_call;
pub(crate) mod hooks;
pub(crate) mod interrupt;
pub(crate) mod noted;
pub(crate) mod plan;
pub(crate) mod scheduled;
pub(crate) mod shared;
pub(crate) mod sync;
pub(crate) mod uncaught;
