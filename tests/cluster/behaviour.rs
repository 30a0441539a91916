//! Deployment's behaviour, as scenarios that run against `apps/v1` Deployment and against
//! GracefulDeployment. Deployment is the oracle: a scenario that it fails is wrong.

mod adoption;
mod autoscaled;
mod availability;
mod bounds;
mod drains;
mod ends;
mod failing;
mod history;
mod iterative;
mod object;
mod overdue;
mod ownership;
mod paused;
mod recreate;
mod rollout;
mod scale;

use std::time::Duration;

/// For how long it is watched that something does not happen: several times what it would take.
const WAIT: Duration = Duration::from_secs(5);

/// Instantiates scenarios as tests: `both` on either arm, as `deployment::…` and `graceful::…`;
/// `graceful` where Deployment has no such behaviour.
macro_rules! scenarios {
    (@arm $module:ident $arm:ident: $($name:ident),* $(,)?) => {
        mod $module {
            use crate::world::{$arm, run};
            $(
                #[test]
                fn $name() {
                    run::<$arm, _>(stringify!($name), super::$name);
                }
            )*
        }
    };
    (both: $($name:ident),* $(,)?) => {
        scenarios! { both: $($name),*; graceful: }
    };
    (both: $($name:ident),*; graceful: $($other:ident),* $(,)?) => {
        scenarios! { @arm deployment Deployment: $($name),* }
        scenarios! { @arm graceful Graceful: $($name,)* $($other),* }
    };
    (graceful: $($name:ident),* $(,)?) => {
        scenarios! { @arm graceful Graceful: $($name),* }
    };
}
use scenarios;
