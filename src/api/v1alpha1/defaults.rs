//! Kubernetes' and our own defaults, one function each because serde wants them so.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub(super) fn one() -> i32 {
    1
}

pub(super) fn progress_deadline() -> i32 {
    600
}

pub(super) fn history() -> i32 {
    10
}

pub(super) fn surge() -> IntOrString {
    IntOrString::String("25%".into())
}

pub(super) fn zero() -> IntOrString {
    IntOrString::Int(0)
}

pub(super) fn all() -> IntOrString {
    IntOrString::String("100%".into())
}

pub(super) fn drain_timeout() -> i32 {
    300
}

pub(super) fn deletion_timeout() -> i32 {
    60
}

pub(super) fn min() -> i32 {
    5
}

pub(super) fn quiet() -> i32 {
    3
}

pub(super) fn arrivals() -> i32 {
    30
}

pub(super) fn unresponsive() -> i32 {
    60
}

pub(super) fn shutdown_timeout() -> i32 {
    30
}

pub(super) fn metrics_path() -> String {
    "/metrics".into()
}
