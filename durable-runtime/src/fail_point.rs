//! Fail points: named places in store and engine where a test may end the process.
//!
//! `docs/fail-points.md` lists them with what a process that dies there leaves behind.

/// A place where a test may end the process. The name is `<part>.<what>.<moment>`.
#[cfg(feature = "testing")]
macro_rules! fail_point {
    ($name:literal) => {
        ::fail::fail_point!($name)
    };
}

/// Without the feature `testing` there is nothing.
#[cfg(not(feature = "testing"))]
macro_rules! fail_point {
    ($name:literal) => {};
}
