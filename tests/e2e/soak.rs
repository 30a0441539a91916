//! What would grow in an operator that runs for months: objects come, change and go by the thousand, and
//! its memory stays. Only `cargo xtask test soak` runs it, alone and for a quarter of an hour.

use std::ops::Range;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{OPERATORS, Operator, World, test_alone};
use crate::figure::{assert_at_most, count, median, show};
use crate::process::resident_kib;

const LENGTH: Duration = Duration::from_mins(15);

/// After what allocators and maps take until they have found their size.
const EARLY: Range<Duration> = Duration::from_mins(3)..Duration::from_mins(7);

const LATE: Range<Duration> = Duration::from_mins(11)..LENGTH;

/// Objects of one round. They have no pods: what the operator keeps of an object is kept without them
/// too, and a node would do nothing else.
const OBJECTS: usize = 40;

const SOON: Duration = Duration::from_secs(60);

/// R36.
#[test]
fn memory_of_the_operator_is_flat_over_thousands_of_objects() {
    test_alone("soak", |world| async move {
        // A process of its own age.
        let operator = Operator::of(&world);
        operator.scale(0).await;
        operator.scale(OPERATORS).await;
        let process = operator.leader().await;
        let began = Instant::now();
        let (mut early, mut late, mut objects) = (vec![], vec![], 0);
        while began.elapsed() < LENGTH {
            round(&world, objects).await;
            objects += OBJECTS;
            let resident = count(resident_kib(process)) / 1024.0;
            assert!(resident > 0.0, "the operator ended after {objects} objects");
            let age = began.elapsed();
            if EARLY.contains(&age) {
                early.push(resident);
            } else if LATE.contains(&age) {
                late.push(resident);
            }
        }
        let made = u64::try_from(objects).expect("a count");
        show("objects of the soak", count(made), None, "objects");
        show("memory of the operator, early", median(&early), None, "MiB");
        show("memory of the operator, late", median(&late), None, "MiB");
        let grown = median(&late) - median(&early);
        assert_at_most("growth of the operator's memory", grown, 1.0, "MiB");
    });
}

/// Objects come, get another template and other settings, and go.
async fn round(world: &World, first: usize) {
    let names: Vec<String> = (first..first + OBJECTS)
        .map(|i| format!("soak-{i}"))
        .collect();
    for name in &names {
        let app = App::graceful(name).replicas(0);
        world.create::<GracefulDeployment>(app.object()).await;
    }
    for name in &names {
        let mut patch = App::graceful(name).change(2);
        patch["spec"]["drain"] = json!({"minSeconds": 7});
        world.patch::<GracefulDeployment>(name, patch).await;
    }
    for name in &names {
        world.complete(name, SOON).await;
    }
    let objects = world.api::<GracefulDeployment>();
    let all = ListParams::default();
    let deleted = objects
        .delete_collection(&DeleteParams::default(), &all)
        .await;
    deleted.expect("deleted");
    world
        .until("they are gone", SOON, async || {
            let left = objects.list(&all).await.expect("a list").items;
            let names: Vec<_> = left.iter().map(ResourceExt::name_any).collect();
            if names.is_empty() {
                Ok(())
            } else {
                Err(format!("{names:?}"))
            }
        })
        .await;
}
